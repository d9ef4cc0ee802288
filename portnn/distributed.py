"""Data-parallel training: what the ranks of one training tell each other, over MPI.

Each rank is a process with the same network and the same data. Of each batch, in the one seeded order, a rank takes a
contiguous share of the rows; the gradients of the shares add up to the batch's (``ForwardContext.row``, ``rows``,
``all_reduce``) in one sum over the ranks, and every rank takes the same step.
"""

import os
import sys
import traceback
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any, Protocol, cast

import numpy as np

from portnn.errors import ArgumentError, DistributedError, DivergenceError
from portnn.mpi import MPICommunicator


class InterruptedTogether(KeyboardInterrupt):
    """Ctrl-C that all ranks raise, after the same step."""


class Communicator(Protocol):
    """What a training needs of the ranks; each method is called by all of them, in the same order."""

    @property
    def rank(self) -> int:
        """Number of this process, from 0."""

    @property
    def size(self) -> int:
        """Number of processes."""

    def all_reduce(self, array: np.ndarray, op: str = "sum", overwrite: bool = False) -> np.ndarray:
        """Return the sum of the ranks' arrays, or with "max" their largest elements; the same bits on each rank.

        ``overwrite``: whether the result may take the array's memory.
        """

    def broadcast(self, value: Any) -> Any:
        """Return rank 0's value."""

    def all_gather(self, value: Any) -> list[Any]:
        """Return the values of all ranks, in their order."""

    def abort(self) -> None:
        """End the processes of all ranks."""


def communicator_of(distributed: Any) -> Communicator | None:
    """Return the communicator of ``fit``'s argument; None for a single process.

    Raises ArgumentError for other values, and for "mpi" where a launcher has started several processes that do not
    know of each other.
    """
    if distributed is None:
        return None
    if distributed in ("mpi", "nccl"):
        found: Communicator = MPICommunicator(on_device=distributed == "nccl")
        _check_launcher(found.size)
    elif hasattr(distributed, "Allreduce") and hasattr(distributed, "Get_rank"):
        found = MPICommunicator(distributed)
    elif all(hasattr(distributed, name) for name in ("rank", "size", "all_reduce", "broadcast", "all_gather", "abort")):
        found = distributed
    else:
        raise ArgumentError(
            'distributed: expected None, "mpi", "nccl", a communicator of mpi4py or a Communicator; '
            f"got {distributed!r}"
        )
    return found if found.size > 1 else None


def watched(comm: Communicator | None) -> AbstractContextManager[None]:
    """Return a context in which a rank that does not answer ends all of them, where the communicator can."""
    watch = getattr(comm, "watched", None)
    return nullcontext() if watch is None else cast(AbstractContextManager[None], watch())


_LAUNCHED = "OMPI_COMM_WORLD_SIZE", "PMI_SIZE", "MV2_COMM_WORLD_SIZE", "SLURM_STEP_NUM_TASKS", "WORLD_SIZE"
"""Number of processes, as launchers of MPI, srun and torchrun set it."""


def _check_launcher(size: int) -> None:
    """Refuse processes of a launcher that belongs to another MPI library: each would train alone, without a word."""
    for name in _LAUNCHED:
        started = int(os.environ.get(name) or 1)
        if size == 1 < started:
            raise ArgumentError(
                f"distributed: expected {started} processes, as {name} says; got 1: the launcher does not belong to "
                "the MPI library that mpi4py uses; start them with that one's mpiexec or srun"
            )


@contextmanager
def beginning_together(comm: Communicator | None) -> Iterator[None]:
    """Raise on every rank if one of them has an error: its own there, DistributedError on the others."""
    if comm is None:
        yield
        return
    own: Exception | None = None
    try:
        yield
    except Exception as error:
        own = error
    errors = comm.all_gather(None if own is None else f"{type(own).__name__}: {own}")
    if own is not None:
        raise own
    for rank, text in enumerate(errors):
        if text is not None:
            raise DistributedError(f"distributed: rank {rank} could not begin: {text}")


@contextmanager
def ending_together(comm: Communicator | None) -> Iterator[None]:
    """End the processes of all ranks where one of them has an error that the others do not have.

    A rank that left the training would let the others wait for ever.
    """
    try:
        yield
    except (DivergenceError, DistributedError, InterruptedTogether):  # the same on all ranks
        raise
    except BaseException:
        if comm is not None:
            traceback.print_exc()
            sys.stderr.write(f"distributed: rank {comm.rank} ends the training of all ranks\n")
            sys.stderr.flush()
            comm.abort()
        raise


def check_same(comm: Communicator, mine: Mapping[str, Any], names: Mapping[str, str]) -> None:
    """Raise ArgumentError on every rank where a rank's values are others than rank 0's.

    ``names``: what values are called that are digests.
    """
    gathered = comm.all_gather(dict(mine))
    for rank, values in enumerate(gathered):
        for key, value in gathered[0].items():
            if values.get(key) != value:
                got = f"other {names[key]}" if key in names else f"{key} {values.get(key)!r}, rank 0 {value!r}"
                raise ArgumentError(f"distributed: expected the same on all ranks; rank {rank} has {got}")


def check_bits(comm: Communicator, fingerprint: str, epoch: int) -> None:
    """Raise DistributedError on every rank where fingerprints of the network differ."""
    prints = comm.all_gather(fingerprint)
    if others := [rank for rank, digest in enumerate(prints) if digest != prints[0]]:
        raise DistributedError(
            f"distributed: expected the same weights on all ranks after epoch {epoch}; ranks {others} have others than "
            "rank 0"
        )
