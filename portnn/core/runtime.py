"""Runtime: the pure core bound to one backend, and the state that it steps.

It takes arrays that were checked (portnn/data/arrays.py), on its backend, and is called inside ``backend.scope()``.
"""

import hashlib
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from portnn.backend import Backend, host_array
from portnn.core.architecture import Layout
from portnn.core.step import Core, State
from portnn.data.arrays import Batch, Dataset
from portnn.errors import DataError, DTypeError, ShapeError, choose
from portnn.nn import random
from portnn.nn.metrics import METRICS
from portnn.nn.optimizers import Optimizer
from portnn.types import Array

PREDICT_ROWS = 8192
"""Rows of one batch at prediction: bounds the memory of the hidden layers."""


class Snapshot(NamedTuple):
    """A copy of all that training changes."""

    state: State
    step_count: int
    epoch_count: int


class Runtime:
    """A network's state on one backend, and what is done with it."""

    def __init__(
        self,
        backend: Backend,
        core: Core,
        optimizer: Optimizer,
        dtype: str,
        seed: int,
        state: State,
        step_count: int = 0,
        epoch_count: int = 0,
    ) -> None:
        """Take owned copies of the state's arrays, of any library, to the backend."""

        def owned(array: object) -> Array:
            with backend.scope():
                return backend.xp.asarray(backend.asarray(array, dtype), copy=True)

        self.backend, self.core, self.optimizer, self.dtype, self.seed = backend, core, optimizer, dtype, seed
        self.state = State(owned(state.parameters), owned(state.buffers), tuple(map(owned, state.slots)))
        self.step_count, self.epoch_count = step_count, epoch_count
        xp = backend.xp
        update = backend.elementwise(optimizer.kernel, donate=(0, *range(2, 2 + optimizer.slots)))
        self._update = update
        self._step = backend.compile(lambda state, *rest: core.step(xp, update, state, *rest), donate=(0,))
        self._forward = backend.compile(lambda state, x: core.forward(xp, state, x))

    @classmethod
    def initial(cls, backend: Backend, core: Core, optimizer: Optimizer, dtype: str, seed: int) -> "Runtime":
        """Return a runtime with freshly drawn parameters."""
        draw = core.architecture.initial
        slots = tuple(np.zeros(core.parameters.size) for _ in range(optimizer.slots))
        state = State(draw(core.parameters, seed), draw(core.buffers, seed), slots)
        return cls(backend, core, optimizer, dtype, seed, state)

    def to(self, backend: Backend, dtype: str) -> "Runtime":
        """Return a copy elsewhere, counters included."""
        counts = self.step_count, self.epoch_count
        return Runtime(backend, self.core, self.optimizer, dtype, self.seed, self.state, *counts)

    # ---- computing

    def step(self, batch: Batch) -> Array:
        """Take one training step; return the loss before it, unread."""
        dials = self.optimizer.dials(self.step_count + 1)
        self.state, loss = self._step(self.state, *batch, random.key(self.seed, self.step_count), *dials)
        self.step_count += 1
        return loss

    def updated(self, parameters: Array, gradient: Array, *rest: Any) -> tuple[Array, ...]:
        """Return the optimizer's (parameters, \\*slots) for a gradient; nothing is changed.

        ``rest``: the slots, then the dials of the step.
        """
        slots = len(self.state.slots)
        copies = (self.copy(slot) for slot in rest[:slots])
        return self._update(self.copy(parameters), gradient, *copies, *rest[slots:])  # type: ignore[no-any-return]

    def gradients(self, batch: Batch) -> tuple[Array, dict[str, Array]]:
        """Return (loss, {parameter: gradient}), with the random bits of the step to come."""
        key = random.key(self.seed, self.step_count)
        loss, vector = self.core.gradients(self.backend.xp, self.state, *batch, key)
        return loss, self.core.parameters.named(self.backend.xp, vector)

    def forward(self, x: Array, rows: int | None = None) -> Array:
        """Return the outputs, in batches of at most ``rows`` rows; None: in one."""
        if rows is None or x.shape[0] <= rows:
            return self._forward(self.state, x)
        parts = [self._forward(self.state, x[i : min(i + rows, x.shape[0]), ...]) for i in range(0, x.shape[0], rows)]
        return self.backend.xp.concat(parts)

    def evaluate(self, dataset: Dataset, metrics: Sequence[str]) -> dict[str, float]:
        """Return {"loss": ..., metric: ...}."""
        xp = self.backend.xp
        losses, outputs = [], []
        for batch in dataset.batches(xp, PREDICT_ROWS, None, mean=False):
            loss, output = self.core.evaluate(xp, self.state, *batch)
            losses.append(loss)
            outputs.append(output)
        report = {"loss": sum(map(self.read, losses)) / (dataset.rows if self.core.loss.mean else 1)}
        whole = xp.concat(outputs)
        return report | {m: self.read(METRICS[m](xp, whole, dataset.y)) for m in metrics}

    def read(self, scalar: Array) -> float:
        """Return a 0-d array's value: waits for the device."""
        return float(self.backend.to_numpy(scalar))

    # ---- the state, in and out

    def copy(self, array: Array) -> Array:
        """Return a copy of one of the backend's arrays."""
        return self.backend.xp.asarray(array, copy=True)

    def snapshot(self) -> Snapshot:
        """Return a copy of all that training changes."""
        copied = State(
            self.copy(self.state.parameters), self.copy(self.state.buffers), tuple(map(self.copy, self.state.slots))
        )
        return Snapshot(copied, self.step_count, self.epoch_count)

    def restore(self, snapshot: Snapshot) -> None:
        """Go back to a snapshot, which is consumed."""
        self.state, self.step_count, self.epoch_count = snapshot

    def parameters(self) -> dict[str, Array]:
        """Return copies of the parameters by name."""
        return self.core.parameters.named(self.backend.xp, self.copy(self.state.parameters))

    def buffers(self) -> dict[str, Array]:
        """Return copies of the buffers by name."""
        return self.core.buffers.named(self.backend.xp, self.copy(self.state.buffers))

    def assign(self, parameters: Mapping[str, object], buffers: Mapping[str, object] | None = None) -> None:
        """Set the named values; those not named stay. On an error nothing is changed."""
        core, state = self.core, self.state
        self.state = state._replace(
            parameters=self._filled("parameters", core.parameters, state.parameters, parameters),
            buffers=self._filled("buffers", core.buffers, state.buffers, buffers or {}),
        )

    def _filled(self, argument: str, layout: Layout, vector: Array, values: Mapping[str, object]) -> Array:
        entries = {e.name: e for e in layout.entries}
        flat = np.array(self.backend.to_numpy(vector))
        for name, value in values.items():
            entry = choose(argument, name, entries)
            array = host_array(value)
            if array.dtype.kind not in "biuf":
                raise DTypeError(f"{argument}[{name!r}]: expected real numbers; got dtype {array.dtype}")
            if array.shape != entry.shape:
                raise ShapeError(f"{argument}[{name!r}]: expected shape {entry.shape}; got {array.shape}")
            with np.errstate(over="ignore"):  # what is too large becomes infinity, refused below
                flat[entry.start : entry.stop] = array.ravel()
        if not np.all(np.isfinite(flat)):
            raise DataError(f"{argument}: expected finite numbers within {self.dtype}'s range; got NaN or infinity")
        return self.copy(self.backend.asarray(flat, self.dtype))

    def arrays(self) -> dict[str, np.ndarray]:
        """Return the whole state on the host, by name: parameters, buffers, optimizer.0 ..."""
        host, core, state = self.backend.to_numpy, self.core, self.state
        named = core.parameters.named(np, host(state.parameters)) | core.buffers.named(np, host(state.buffers))
        return named | {f"optimizer.{i}": host(slot) for i, slot in enumerate(state.slots)}

    def set_arrays(self, arrays: Mapping[str, np.ndarray]) -> None:
        """Take the whole state from what ``arrays`` returned; all must be there, and nothing else."""
        parameters, buffers = ({e.name for e in layout.entries} for layout in (self.core.parameters, self.core.buffers))
        optimizer = [f"optimizer.{i}" for i in range(len(self.state.slots))]
        expected = {*parameters, *buffers, *optimizer}
        if set(arrays) != expected:
            raise ShapeError(f"arrays: expected {sorted(expected)}; got {sorted(arrays)}")
        for name in optimizer:
            if arrays[name].shape != (self.core.parameters.size,):
                raise ShapeError(f"{name}: expected shape ({self.core.parameters.size},); got {arrays[name].shape}")
        self.assign({name: arrays[name] for name in parameters}, {name: arrays[name] for name in buffers})
        slots = tuple(self.copy(self.backend.asarray(arrays[name], self.dtype)) for name in optimizer)
        self.state = self.state._replace(slots=slots)

    def fingerprint(self) -> str:
        """Return SHA-256, in hex, over names, shapes, dtype and little-endian bytes of parameters and buffers."""
        core, state = self.core, self.state
        digest = hashlib.sha256(self.dtype.encode())
        for layout, vector in ((core.parameters, state.parameters), (core.buffers, state.buffers)):
            digest.update(repr([(e.name, e.shape) for e in layout.entries]).encode())
            host = self.backend.to_numpy(vector)
            digest.update(host.astype(host.dtype.newbyteorder("<")).tobytes())
        return digest.hexdigest()
