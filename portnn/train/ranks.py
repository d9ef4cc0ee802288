"""How the ranks of one training meet: the same data and options, rank 0's state."""

import logging
from math import prod

import numpy as np

from portnn.data.memmap import MemmapRows
from portnn.distributed import Communicator, check_same
from portnn.train.callbacks import Network
from portnn.train.checkpoint import DIGESTS, config_of_fit
from portnn.train.fit_state import FitState
from portnn.types import Array

_log = logging.getLogger("portnn")


def meet(comm: Communicator, network: Network, run: FitState) -> None:
    """Refuse processes with other data, options, versions or a fit that is elsewhere; give all of them rank 0's state.

    Rank 0 says what each process has. Raises ArgumentError on every rank.
    """
    from importlib.metadata import version  # imports much

    versions = {"portnn": version("portnn"), run.runtime.backend.name: run.runtime.backend.version()}
    config = config_of_fit(network, run, []) | {"epochs done": run.done, "versions": versions}
    del config["start"]
    check_same(comm, config, DIGESTS)
    run.runtime.begin_sharing(comm)
    arrays, description = comm.broadcast(network.serialize() if comm.rank == 0 else None)
    run.runtime.load_state(arrays, description)
    run.losses, run.sizes = comm.broadcast((run.losses, run.sizes))
    if comm.rank == 0:
        _log.info("%s", held(comm.size, run))


def held(ranks: int, run: FitState) -> str:
    """Return what each of so many ranks has, in words."""
    data = run.data
    if data.rows is None:
        return f"distributed: {ranks} ranks; each takes its part of every batch"
    batch = min(run.batch_size or data.rows, data.rows)
    arrays = [getattr(data, name, None) for name in ("x", "y", "weight")]
    size = sum(_bytes(array) for array in arrays if array is not None and not isinstance(array, MemmapRows))
    place = " and x in a file" if isinstance(arrays[0], MemmapRows) else ""
    has = f"{data.rows} rows ({size / 1e6:.1f} MB in memory{place})"
    takes = f"at most {-(-batch // ranks)} of the {batch} of a batch, {data.steps(batch)} batches an epoch"
    return f"distributed: {ranks} ranks; each has {has}, and takes {takes}"


def _bytes(array: Array) -> int:
    return int(prod(array.shape)) * np.dtype(str(array.dtype).rpartition(".")[2]).itemsize
