"""The communicator over MPI, by mpi4py, and the watch over ranks that do not answer."""

import os
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np

from portnn.errors import ArgumentError, BackendUnavailableError

TIMEOUT = 600.0
"""Seconds for which a rank waits for the others; PORTNN_DISTRIBUTED_TIMEOUT is another number."""
_GRACE = 2.0
"""Seconds in which the ranks that wait tell each other so: they began to wait at different times."""
_TAG = 31_415
"""Of messages that a rank waits; those of a training are collective, and have none."""


class MPICommunicator:
    """A communicator of mpi4py; ``comm``: None for all processes that the launcher has started."""

    def __init__(self, comm: Any = None, on_device: bool = False) -> None:
        """``on_device``: whether the backend sums gradients, without the host.

        Raise BackendUnavailableError without mpi4py, or without an MPI library.
        """
        try:
            from mpi4py import MPI
        except (ImportError, RuntimeError) as error:  # without an MPI library mpi4py raises RuntimeError
            raise BackendUnavailableError(f"distributed: {error}; pip install 'portnn[mpi]'") from error
        self._mpi, self._comm = MPI, MPI.COMM_WORLD if comm is None else comm
        self.on_device = on_device
        self._watch = _Watch(MPI, self._comm)

    @property
    def rank(self) -> int:
        return int(self._comm.Get_rank())

    @property
    def size(self) -> int:
        return int(self._comm.Get_size())

    @property
    def local_rank(self) -> int:
        """Number of this process among those of its machine."""
        here = self._comm.Split_type(self._mpi.COMM_TYPE_SHARED)
        number = int(here.Get_rank())
        here.Free()
        return number

    def all_reduce(self, array: np.ndarray, op: str = "sum", overwrite: bool = False) -> np.ndarray:
        is_fit = array.flags.c_contiguous and array.flags.writeable
        total = array if overwrite and is_fit else np.array(array, order="C")
        with self._watch.waiting():
            self._comm.Allreduce(self._mpi.IN_PLACE, total, self._mpi.MAX if op == "max" else self._mpi.SUM)
        return total

    def broadcast(self, value: Any) -> Any:
        with self._watch.waiting():
            return self._comm.bcast(value, root=0)

    def all_gather(self, value: Any) -> list[Any]:
        with self._watch.waiting():
            gathered: list[Any] = self._comm.allgather(value)
        return gathered

    def abort(self) -> None:
        self._comm.Abort(1)

    def watched(self) -> Any:
        """Return a context in which ranks that do not answer end all of them."""
        return self._watch.running()


class _Watch:
    """A thread that ends all ranks if this one has waited too long for the others, and names those.

    The thread that waits is inside MPI, where no time-out reaches it. Ranks that wait tell each other so: the others
    do not answer.
    """

    def __init__(self, mpi: Any, comm: Any) -> None:
        self._mpi, self._comm = mpi, comm
        self._since: float | None = None
        """When this rank began to wait; None: it works."""

    @contextmanager
    def waiting(self) -> Iterator[None]:
        self._since = time.monotonic()
        try:
            yield
        finally:
            self._since = None

    @contextmanager
    def running(self) -> Iterator[None]:
        """Run the thread."""
        if self._comm.Get_size() == 1 or self._mpi.Query_thread() < self._mpi.THREAD_MULTIPLE:
            yield
            return
        seconds = _timeout()
        ended = threading.Event()
        thread = threading.Thread(target=self._run, args=(ended, seconds), daemon=True)
        thread.start()
        try:
            yield
        finally:
            ended.set()
            thread.join()

    def _run(self, ended: threading.Event, seconds: float) -> None:
        while not ended.wait(min(seconds, 1.0) / 4):
            since = self._since
            if since is not None and time.monotonic() - since > seconds:
                silent = self._silent()
                if self._since == since:  # nobody came in the meantime
                    self._end(silent, seconds)

    def _silent(self) -> list[int]:
        """Tell the other ranks that this one waits; return those that do not."""
        comm, rank, size = self._comm, self._comm.Get_rank(), self._comm.Get_size()
        others = [other for other in range(size) if other != rank]
        sent = [comm.isend(None, dest=other, tag=_TAG) for other in others]
        heard: set[int] = set()
        status, until = self._mpi.Status(), time.monotonic() + _GRACE
        while time.monotonic() < until and len(heard) < len(others):
            while comm.iprobe(tag=_TAG, status=status):
                comm.recv(source=status.Get_source(), tag=_TAG)
                heard.add(status.Get_source())
            time.sleep(0.01)
        del sent
        return [other for other in others if other not in heard]

    def _end(self, silent: list[int], seconds: float) -> None:
        rank = self._comm.Get_rank()
        if rank == min(set(range(self._comm.Get_size())) - set(silent)):
            who = f"ranks {silent} have" if len(silent) > 1 else f"rank {silent[0]} has" if silent else "a rank has"
            sys.stderr.write(
                f"distributed: {who} not answered for {seconds:g} s (PORTNN_DISTRIBUTED_TIMEOUT); rank {rank} ends the "
                "training of all ranks\n"
            )
            sys.stderr.flush()
        else:
            time.sleep(_GRACE)  # the first one's message comes before the end
        self._comm.Abort(1)


def _timeout() -> float:
    text = os.environ.get("PORTNN_DISTRIBUTED_TIMEOUT", "")
    try:
        seconds = float(text or TIMEOUT)
    except ValueError:
        seconds = 0.0
    if not seconds > 0.0:
        raise ArgumentError(f"PORTNN_DISTRIBUTED_TIMEOUT: expected a number of seconds above 0; got {text!r}")
    return seconds
