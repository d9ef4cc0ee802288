"""Runtime: the pure core bound to one backend, and the state that it steps.

It takes arrays that were checked (portnn/data/arrays.py), on its backend, and is called inside ``backend.scope()``.
"""

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial, wraps
from threading import RLock
from typing import Any, Concatenate, NamedTuple, ParamSpec, TypeVar

import numpy as np

from portnn import registry
from portnn.backend import Backend, Consumed, host_array, promoted
from portnn.core.architecture import Entry as LayoutEntry
from portnn.core.architecture import Layout
from portnn.core.entry import Entry, learnt
from portnn.core.step import Core, State
from portnn.data.arrays import to_host
from portnn.data.dataset import Checked, Dataset, InRows, Source
from portnn.data.mapped import Mapped
from portnn.data.stream import CheckedBatches, Stream, Streamed
from portnn.errors import ArgumentError, DataError, DTypeError, ShapeError
from portnn.io.files import little_endian
from portnn.io.tables import Names
from portnn.metrics import Metric
from portnn.metrics.selection import Compared
from portnn.nn import random
from portnn.nn.layer import as_preprocessing
from portnn.optim.chain import Numbers
from portnn.optim.optimizers import Optimizer
from portnn.options import choose
from portnn.reproducible.arithmetic import ARITHMETICS
from portnn.types import Array, Batch, Forward, Mode, Namespace

PREDICT_ROWS = 8192
"""Rows of one batch at prediction: bounds the memory of the hidden layers."""


class Counters(NamedTuple):
    """What was done so far."""

    step: int = 0
    """Training steps."""
    epoch: int = 0
    """Epochs finished."""
    update: int = 0
    """Steps since the optimizer's vectors were started: its bias corrections count from there."""


START = Counters()


class Snapshot(NamedTuple):
    """A copy of all that training changes."""

    state: State
    counters: Counters


P = ParamSpec("P")
T = TypeVar("T")


def _whole(method: Callable[Concatenate["Runtime", P], T]) -> Callable[Concatenate["Runtime", P], T]:
    """Let a method see, or change, the state of a whole step: threads wait for each other."""

    @wraps(method)
    def run(self: "Runtime", /, *arguments: P.args, **options: P.kwargs) -> T:
        with self.lock:
            return method(self, *arguments, **options)

    return run


class Runtime:
    """A network's state on one backend, and what is done with it.

    A step may change the state in place: what reads it in another thread waits for the step's end, and so does a step
    for what reads.
    """

    def __init__(
        self,
        backend: Backend,
        core: Core,
        optimizer: Optimizer,
        dtype: str,
        seed: int,
        state: State,
        counters: Counters = START,
        adapted: bool = False,
        arithmetic: str = "fast",
    ) -> None:
        """Take owned copies of the state's arrays, of any library, to the backend."""
        self.lock = RLock()
        self.backend, self.core, self.optimizer, self.dtype, self.seed = backend, core, optimizer, dtype, seed
        self.state = State(
            self._owned(state.parameters), self._owned(state.buffers), tuple(map(self._owned, state.slots))
        )
        self._kind = self.state.parameters.dtype
        self.consumes = False
        """Whether a step may change the state in place, so that Ctrl-C must wait."""
        self.counters = counters
        self.adapted = adapted
        """Whether layers such as Standardize have learnt what they need of the training data."""
        self.arithmetic = arithmetic
        self._computes = ARITHMETICS[arithmetic](backend)
        compiled = self._computes.compile
        self._forward, self._evaluate, self._gradients = (
            compiled(function) for function in (core.forward, core.evaluate, core.gradient)
        )
        self._min_batch_size = core.architecture.min_batch_size
        self._bind()
        self._entry = self._opened()

    def _bind(self) -> None:
        """Prepare the step for the optimizer: one that consumes the state, and one that keeps it."""
        chain, parameters, computes = self.optimizer.chain(), self.core.parameters, self._computes
        stretches = chain.stretches(parameters.decayed, parameters.size)
        donate = 0, *range(2, 2 + len(chain.slots))
        self.chain = chain
        stops = tuple(entry.stop for entry in parameters.packed)
        self._updates = tuple(
            partial(chain.update, computes.elementwise(stretches, given, stops)) for given in (donate, ())
        )
        size = parameters.size * (1 + len(chain.slots)) + self.core.buffers.size
        self.consumes = computes.consumes(size * (8 if self.dtype == "float64" else 4))
        self._steps = tuple(
            computes.compile(self.core.step, 2, Consumed(whole, stops)) for whole in (False, not self.consumes)
        )

    @property
    def xp(self) -> Namespace:
        """The namespace that layers, loss and optimizer compute with."""
        return self._computes.xp

    def _owned(self, array: object) -> Array:
        with self.backend.scope():
            return self.backend.copy(self.backend.asarray(array, self.dtype))

    @classmethod
    def initial(
        cls, backend: Backend, core: Core, optimizer: Optimizer, dtype: str, seed: int, arithmetic: str = "fast"
    ) -> "Runtime":
        """Return a runtime with freshly drawn parameters."""
        state = State(*core.architecture.initial(seed), _started(core, optimizer))
        adapted = not any(as_preprocessing(layer).adapts_to for layer in core.architecture.layers)
        return cls(backend, core, optimizer, dtype, seed, state, adapted=adapted, arithmetic=arithmetic)

    def to(self, backend: Backend, dtype: str | None = None, arithmetic: str | None = None) -> "Runtime":
        """Return a copy elsewhere, counters included."""
        return self._but(backend=backend, dtype=dtype or self.dtype, arithmetic=arithmetic or self.arithmetic)

    def on(self, backend: Backend) -> "Runtime":
        """Return this runtime if it is there, else a copy there."""
        return self if self.backend is backend else self.to(backend)

    @_whole
    def optimize_by(self, optimizer: Optimizer) -> None:
        """Take another optimizer; its vectors are kept where they fit, else started anew."""
        before, self.optimizer = self.optimizer, optimizer
        if replace(before, learning_rate=0) == replace(optimizer, learning_rate=0):
            self.chain = optimizer.chain()  # the rate is a dial: what is compiled stays
            return
        if type(optimizer) is not type(before) or optimizer.chain().slots != self.chain.slots:
            slots = tuple(self._owned(vector) for vector in _started(self.core, optimizer))
            self.state, self.counters = self.state._replace(slots=slots), self.counters._replace(update=0)
        self._bind()

    @_whole
    def _but(self, /, **changes: Any) -> "Runtime":
        """Return a copy with other parts."""
        return Runtime(**{**self._parts(), **changes})

    def _parts(self) -> dict[str, Any]:
        names = "backend", "core", "optimizer", "dtype", "seed", "state", "counters", "adapted", "arithmetic"
        return {name: getattr(self, name) for name in names}

    @_whole
    def __reduce__(self) -> tuple[Any, ...]:
        host = self.backend.to_numpy
        state = State(host(self.state.parameters), host(self.state.buffers), tuple(map(host, self.state.slots)))
        return Runtime, tuple({**self._parts(), "state": state}.values())

    # ---- data in

    def adapted_to(self, data: Checked | CheckedBatches) -> "Runtime":
        """Return a copy whose layers have learnt mean and deviation from the data; itself where they have already."""
        if self.adapted:
            return self
        copy = self._but(adapted=True)
        copy.assign(learnt(self.core, self.backend, data), "buffers")
        return copy

    def inputs(
        self, x: Array, check: bool = False, name: str = "x", columns: Names = None, waits: bool = True
    ) -> Array:
        """Return x, of the backend or of NumPy, as the core takes it; ``check`` and ``waits`` as ``Entry`` has them."""
        return self._computes.settled(self._entry(x, name, check, columns, waits))

    def dataset(self, data: Checked | CheckedBatches) -> Source:
        """Return checked data as the core takes them, or as it will, where they are mapped and read batch by batch.

        Raises DataError for what is not finite.
        """
        if isinstance(data, CheckedBatches):
            return Stream(data, self._arrays)
        return self._arrays(data, self.core.loss.mean)

    def _arrays(self, data: Checked, mean: bool = False) -> InRows:
        check = partial(self.inputs, check=True, name=f"{data.name}x", columns=data.columns)
        weight = data.row_weights(mean)
        y = self._computes.settled(data.y)
        weights = None if weight is None else self.backend.asarray(weight, self.dtype)
        if isinstance(data.x, Mapped):
            return Streamed(data.x, y, weights, check, self.backend.to_numpy, data.exact_y)
        return Dataset(check(data.x), y, weights, data.exact_y)

    def batch(self, x: Array, y: Array) -> Batch:
        """Return checked x and y as one batch, their values unseen."""
        return self.inputs(x, waits=False), self._computes.settled(y), 1.0 / y.shape[0] if self.core.loss.mean else 1.0

    def _opened(self) -> Entry:
        """Return the entry for the buffers as they are."""
        buffers = self.backend.to_numpy(self.state.buffers)
        first = {e.key: buffers[e.start : e.stop].reshape(e.shape) for e in self.core.buffers.entries if e.layer == 0}
        return Entry(self.backend, self.core.architecture.layers[0], first, self.dtype)

    # ---- computing

    def _key(self) -> random.Key:
        return random.key(self.seed, self.counters.step)

    @property
    def key(self) -> random.Key:
        """The key of the random bits of the step to come."""
        return self._key()

    @property
    def dials(self) -> Numbers:
        """The optimizer's numbers for the step to come."""
        return self.chain.dials(self.counters.update + 1)

    def step(self, batch: Batch, keep: bool = False) -> Array:
        """Take one training step; return the loss before it, unread.

        It consumes the state, which is faster; whoever holds no snapshot to go back to keeps it: then nothing is
        changed by a step that fails, but for one that the library itself breaks off after it began (out of memory).
        """
        if batch[0].shape[0] < self._min_batch_size:
            self.check_rows(batch[0].shape[0], "x")
        with self.lock:
            before, done = self.state, self.counters
            state, loss = self._steps[keep](self.xp, self._updates[keep], before, batch, self._key, self.dials)
            if state.buffers is not before.buffers:
                state = self._settled(state)
            if state.parameters.dtype != self._kind:
                raise promoted(state.parameters.dtype, self._kind)
            done = Counters(done.step + 1, done.epoch, done.update + 1)
            # Nothing is called between the two: an interrupt comes before both or after both.
            self.state, self.counters = state, done
            return loss

    def _settled(self, state: State) -> State:
        buffers = self._computes.settled(state.buffers)
        return state if buffers is state.buffers else state._replace(buffers=buffers)

    def check_rows(self, rows: int, argument: str) -> None:
        """Refuse a last batch that has too few rows for a layer (BatchNorm: 2)."""
        if rows < self._min_batch_size:
            raise ShapeError(
                f"{argument}: expected batches of at least {self._min_batch_size} rows to train on; got a last batch "
                f"of {rows}"
            )

    def end_epoch(self) -> None:
        """Count an epoch."""
        self.counters = self.counters._replace(epoch=self.counters.epoch + 1)

    def finite(self) -> Array:
        """Return whether all that training changes is finite: 1 or 0, a 0-d array of the network's dtype, unread."""
        xp, (parameters, buffers, slots) = self.backend.xp, self.state
        finite = xp.all(xp.isfinite(parameters))
        for vector in (buffers, *slots) if self.core.buffers.size else slots:
            finite = finite & xp.all(xp.isfinite(vector))
        return xp.astype(finite, self._kind)

    def updated(
        self, xp: Namespace, parameters: Array, gradient: Array, slots: Sequence[Array], dials: Numbers
    ) -> tuple[Array, tuple[Array, ...]]:
        """Return the optimizer's (parameters, slots) for a gradient, as a fit computes them; nothing is changed."""
        return self._updates[0](
            xp, self.backend.copy(parameters), gradient, tuple(map(self.backend.copy, slots)), dials
        )

    @_whole
    def gradients(self, batch: Batch) -> tuple[Array, dict[str, Array]]:
        """Return (loss, {parameter: gradient}), with the random bits of the step to come."""
        loss, vector = self._gradients(self.xp, self.state, batch, self._key)
        return loss, self.core.parameters.named(self.xp, vector)

    @_whole
    def forward(self, x: Array, rows: int | None = None) -> Array:
        """Return the outputs, in batches of at most ``rows`` rows; None: in one."""
        if rows is None or x.shape[0] <= rows:
            return self._forward(self.xp, self.state, x)
        with self.backend.scope():
            parts = [
                self._forward(self.xp, self.state, x[i : min(i + rows, x.shape[0]), ...])
                for i in range(0, x.shape[0], rows)
            ]
            return self.backend.xp.concat(parts)

    def evaluate(self, source: Source, metrics: Mapping[str, Metric]) -> dict[str, float]:
        """Return {"loss": ..., metric: ...}; metrics see targets as they came, and predictions in float64."""
        losses: list[Array] = []
        outputs: list[np.ndarray] = []
        targets: list[np.ndarray] = []
        weights: list[np.ndarray] = []
        rows = 0
        for part in source.sources():
            # Not over several parts: what makes batches in a thread of its own may ask the network.
            with self.lock:
                for x, y, weight in part.batches(self.backend.xp, PREDICT_ROWS, None, mean=False):
                    loss, output = self._evaluate(self.xp, self.state, (x, y, weight))
                    losses.append(loss)
                    rows += x.shape[0]
                    if metrics:
                        outputs.append(self.backend.to_numpy(output))
                        targets += [self.backend.to_numpy(y)] if part.exact_y is None else []
                        weights += [] if isinstance(weight, float) else [self.backend.to_numpy(weight[:, 0])]
            if metrics and part.exact_y is not None:
                exact = np.asarray(to_host(self.backend, part.exact_y), np.float64)
                targets.append(exact.reshape(part.rows, -1))
        loss = sum(self.backend.read(losses)) / (rows if self.core.loss.mean else 1)
        if not metrics:
            return {"loss": loss}
        predictions, y = self._predictions(np.concatenate(outputs)), np.concatenate(targets)
        given = [np.concatenate(weights)] if weights else []
        return {"loss": loss, **{name: metric(predictions, y, *given) for name, metric in metrics.items()}}

    def compared(self, of_labels: bool) -> Compared:
        """Return what metrics are to know of outputs and targets."""
        architecture = self.core.architecture
        return Compared(of_labels, architecture.output, self.core.loss.pair, architecture.outputs)

    def _predictions(self, outputs: np.ndarray) -> np.ndarray:
        """Return what ``Core.evaluate`` gave as predictions of the targets, (rows, outputs), on the host.

        Through the last layer in float64, where that brings back the targets' scale, and the loss's inverse link.
        """
        layers, buffers = self.core.architecture.layers, self.backend.to_numpy(self.state.buffers).astype(np.float64)
        if self.core.architecture.unscaled:
            entries = [entry for entry in self.core.buffers.entries if entry.layer == len(layers) - 1]
            weights = {entry.key: buffers[entry.start : entry.stop].reshape(entry.shape) for entry in entries}
            result = Forward.of(layers[-1].forward(np, weights, outputs.astype(np.float64), Mode(training=False)))
            outputs = result.output
        link = self.core.loss.inverse_link
        return outputs if link is None else link(np, outputs.astype(np.float64))

    def classes(self, outputs: Array) -> Array:
        """Return int32 labels, (rows,): the largest of several outputs, or whether a single one exceeds 1/2."""
        xp = self.backend.xp
        found = outputs[:, 0] > 0.5 if outputs.shape[1] == 1 else xp.argmax(outputs, axis=1)
        return xp.astype(found, xp.int32)

    # ---- the state, in and out

    @_whole
    def snapshot(self) -> Snapshot:
        """Return a copy of all that training changes."""
        copied = State(
            self.backend.copy(self.state.parameters),
            self.backend.copy(self.state.buffers),
            tuple(map(self.backend.copy, self.state.slots)),
        )
        return Snapshot(copied, self.counters)

    @_whole
    def restore(self, snapshot: Snapshot) -> None:
        """Go back to a snapshot, which is consumed."""
        self.state, self.counters = snapshot

    @_whole
    def parameters(self) -> dict[str, Array]:
        """Return copies of the parameters by name, in depth order; those of frozen layers too."""
        named = self._named()
        return {entry.name: self.backend.copy(named[entry.name]) for entry in self._entries() if entry.parameter}

    @_whole
    def buffers(self) -> dict[str, Array]:
        """Return copies of the buffers by name."""
        named = self._named()
        return {entry.name: self.backend.copy(named[entry.name]) for entry in self._entries() if not entry.parameter}

    def _named(self) -> dict[str, Array]:
        core, xp, state = self.core, self.backend.xp, self.state
        return core.parameters.named(xp, state.parameters) | core.buffers.named(xp, state.buffers)

    def _entries(self) -> list[LayoutEntry]:
        return sorted([*self.core.parameters.entries, *self.core.buffers.entries], key=lambda entry: entry.order)

    def set_parameters(self, values: Mapping[str, object]) -> None:
        """Set the named parameters; those not named stay. On an error nothing is changed."""
        known = {entry.name: entry for entry in self._entries() if entry.parameter}
        for name in values:
            choose("parameters", name, known)
        self.assign(values)

    @_whole
    def assign(self, values: Mapping[str, object], argument: str = "parameters") -> None:
        """Set the named parameters and buffers; those not named stay. On an error nothing is changed."""
        core, state = self.core, self.state
        self.state = state._replace(
            parameters=self._filled(argument, core.parameters, state.parameters, values),
            buffers=self._filled(argument, core.buffers, state.buffers, values),
        )
        self._entry = self._opened()

    def _filled(self, argument: str, layout: Layout, vector: Array, values: Mapping[str, object]) -> Array:
        flat = np.array(self.backend.to_numpy(vector))
        for entry in layout.entries:
            name = entry.name
            if name not in values:
                continue
            value = values[name]
            array = host_array(value, argument=f"{argument}[{name!r}]")
            if array.dtype.kind not in "biuf":
                raise DTypeError(f"{argument}[{name!r}]: expected real numbers; got dtype {array.dtype}")
            if array.shape != entry.shape:
                raise ShapeError(f"{argument}[{name!r}]: expected shape {entry.shape}; got {array.shape}")
            with np.errstate(over="ignore"):  # what is too large becomes infinity, refused below
                flat[entry.start : entry.stop] = array.ravel()
        if not np.all(np.isfinite(flat)):
            raise DataError(f"{argument}: expected finite numbers within {self.dtype}'s range; got NaN or infinity")
        return self.backend.copy(self.backend.asarray(flat, self.dtype))

    @_whole
    def take_average(self) -> None:
        """Put the optimizer's average of the parameters in their place."""
        if not self.counters.update:
            raise ArgumentError("averaged: there is no average yet; no step was taken")
        vector = dict(zip(self.chain.slots, self.state.slots, strict=True))["average"]
        self.state = self.state._replace(parameters=self.backend.copy(vector))

    @_whole
    def arrays(self) -> dict[str, np.ndarray]:
        """Return the whole state on the host, by name: parameters, buffers, optimizer.0 ..."""
        core, state = self.core, self.state

        def host(vector: Array) -> np.ndarray:  # its own: the next step may write over the state
            return np.array(self.backend.to_numpy(vector))

        named = core.parameters.named(np, host(state.parameters)) | core.buffers.named(np, host(state.buffers))
        for slot, vector in zip(self.chain.slots, state.slots, strict=True):
            named |= {f"{slot}.{name}": value for name, value in core.parameters.named(np, host(vector)).items()}
        return named

    def describe(self) -> dict[str, Any]:
        """Return what is beside the arrays as plain values, for a file."""
        return {
            "optimizer": registry.describe(self.optimizer),
            "dtype": self.dtype,
            "arithmetic": self.arithmetic,
            "seed": self.seed,
            "counters": self.counters._asdict(),
            "adapted": self.adapted,
        }

    @_whole
    def set_all(self, arrays: Mapping[str, np.ndarray], description: Mapping[str, Any]) -> None:
        """Take the state from what ``arrays`` and ``describe`` returned; all must be there, and no other array."""
        expected = self.arrays()
        if set(arrays) != set(expected):
            raise ShapeError(f"arrays: expected {sorted(expected)}; got {sorted(arrays)}")
        self.assign(arrays, "arrays")
        layout = self.core.parameters
        slots = [
            self._filled("arrays", layout, vector, {e.name: arrays[f"{slot}.{e.name}"] for e in layout.entries})
            for slot, vector in zip(self.chain.slots, self.state.slots, strict=True)
        ]
        self.state = self.state._replace(slots=tuple(slots))
        self.counters, self.adapted = Counters(**description["counters"]), bool(description["adapted"])

    @_whole
    def fingerprint(self) -> str:
        """Return SHA-256, in hex, over names, shapes, dtype and little-endian bytes of parameters and buffers."""
        core, state = self.core, self.state
        digest = hashlib.sha256(self.dtype.encode())
        for layout, vector in ((core.parameters, state.parameters), (core.buffers, state.buffers)):
            digest.update(repr([(e.name, e.shape) for e in layout.entries]).encode())
            host = self.backend.to_numpy(vector)
            for e in layout.entries:
                digest.update(little_endian(host[e.start : e.stop]))
        return digest.hexdigest()


def _started(core: Core, optimizer: Optimizer) -> tuple[np.ndarray, ...]:
    """Return the optimizer's vectors before its first step."""
    return tuple(np.zeros(core.parameters.size) for _ in optimizer.chain().slots)
