"""Shared by the comparisons: backends, batches, and NumPy's arrays on another backend."""

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np

from portnn.backend import Backend, available_backends, get_backend
from portnn.data.dataset import Dataset
from portnn.errors import ArgumentError, BackendUnavailableError
from portnn.model.runtime import Runtime
from portnn.model.step import State
from portnn.nn import random
from portnn.types import Array, Batch


def comparison_backends(backends: Sequence[str] | None) -> list[Backend]:
    """Return the backends to compare with NumPy, without duplicates: at least one."""
    if isinstance(backends, str):
        raise ArgumentError(f"backends: expected a list of names; got {backends!r}")
    infos = available_backends()
    names = [info.name for info in infos if info.available and not info.slow] if backends is None else list(backends)
    if any(name.partition(":")[0] != "numpy" for name in names):
        return [backend for backend in dict.fromkeys(map(get_backend, names)) if backend is not get_backend("numpy")]
    if backends is not None:
        raise ArgumentError(f"backends: expected another beside numpy, to compare with it; got {names}")
    reasons = "; ".join(f"{info.name}: {info.reason}" for info in infos if not info.available)
    raise BackendUnavailableError(f"compare: no array library beside NumPy can run here. {reasons}")


def batches(reference: Runtime, dataset: Dataset, steps: int, size: int) -> Iterator[Batch]:
    """Yield the batches that ``fit`` would train on."""
    home, count, epoch = reference.backend, 0, reference.counters.epoch
    while True:
        order = None
        if size < dataset.rows:
            order = random.generator(reference.seed, random.SHUFFLE, epoch).permutation(dataset.rows)
        for batch in dataset.batches(home, size, order, reference.model.loss.mean):
            if count == steps:
                return
            count += 1
            yield batch
        epoch += 1


def mapped(function: Callable[[Any], Any], state: State) -> State:
    """Return the state with the function applied to each array."""
    return State(function(state.parameters), function(state.buffers), tuple(map(function, state.opt_state)))


def to_backend(backend: Backend, dtype: str, value: Any) -> Any:
    """Return a copy of a NumPy array on the backend; numbers unchanged."""
    if not isinstance(value, np.ndarray):
        return value
    return backend.copy(backend.asarray(value, dtype if value.dtype.kind == "f" else None))


def stepped(run: Runtime, batch: Batch) -> Array:
    """Run a backend's own step on one of the reference's batches; return the loss before it."""
    with run.backend.scope():
        return run.step(tuple(to_backend(run.backend, run.dtype, array) for array in batch))
