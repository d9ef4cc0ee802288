"""NCCL: sums of CuPy's arrays over the processes of one training, without the host."""

import socket
from collections.abc import Callable
from typing import Any

import numpy as np

from portnn.distributed import Communicator
from portnn.errors import BackendUnavailableError
from portnn.types import Array


def nccl_sum(cupy: Any, device: str, comm: Communicator) -> Callable[[Array], Array]:
    """Return a function that sums arrays over the processes, each with a GPU of its own.

    All processes call it; ``comm`` tells them of each other. Raises BackendUnavailableError on each of them if NCCL is
    missing on one, or two have the same GPU.
    """
    nccl = cupy.cuda.nccl
    missing = "" if getattr(nccl, "available", True) else "NCCL is missing; pip install nvidia-nccl-cu13 (or -cu12)"
    places = comm.all_gather((missing, socket.gethostname(), device))
    for rank, (reason, host, number) in enumerate(places):
        if reason:
            raise BackendUnavailableError(f"distributed: rank {rank}: {reason}")
        first = next(other for other, place in enumerate(places) if place[1:] == (host, number))
        if first != rank:
            raise BackendUnavailableError(
                f"distributed: expected a GPU of its own for each rank; ranks {first} and {rank} have cupy:{number} of "
                f"{host}"
            )
    unique = comm.broadcast(nccl.get_unique_id() if comm.rank == 0 else None)
    group = nccl.NcclCommunicator(comm.size, unique, comm.rank)
    kinds = {np.dtype(np.float32): nccl.NCCL_FLOAT32, np.dtype(np.float64): nccl.NCCL_FLOAT64}

    def summed(array: Array) -> Array:
        array = array if array.flags.c_contiguous else cupy.ascontiguousarray(array)  # which makes 0-d arrays 1-d
        total, stream = cupy.empty_like(array), cupy.cuda.get_current_stream()
        group.allReduce(
            array.data.ptr, total.data.ptr, array.size, kinds[np.dtype(array.dtype)], nccl.NCCL_SUM, stream.ptr
        )
        return total

    return summed
