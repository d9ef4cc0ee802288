"""The state of a network on one backend: copies, and reading and writing by name."""

from collections.abc import Callable, Mapping
from functools import wraps
from threading import RLock
from typing import Any, Concatenate, NamedTuple, ParamSpec, Self, TypeVar

import numpy as np

from portnn import hashing, registry
from portnn.backend import Backend, host_array
from portnn.errors import ArgumentError, DataError, DTypeError, ShapeError
from portnn.io.files import little_endian
from portnn.model.architecture import Entry, Layout
from portnn.model.step import FunctionalModel, State
from portnn.optim.optimizer import Optimizer
from portnn.options import lookup
from portnn.types import Array


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
S = TypeVar("S", bound="NetworkState")


def whole(method: Callable[Concatenate[S, P], T]) -> Callable[Concatenate[S, P], T]:
    """Let a method see, or change, the state of a whole step: threads wait for each other."""

    @wraps(method)
    def run(self: S, /, *arguments: P.args, **options: P.kwargs) -> T:
        with self.lock:
            return method(self, *arguments, **options)

    return run


class NetworkState:
    """A network's state on one backend.

    A step may change the state in place: what reads it in another thread waits for the step's end, and so does a step
    for what reads.
    """

    def __init__(
        self,
        backend: Backend,
        model: FunctionalModel,
        optimizer: Optimizer,
        dtype: str,
        seed: int,
        state: State,
        counters: Counters,
        adapted: bool,
        arithmetic: str,
    ) -> None:
        """Take owned copies of the state's arrays, of any library, to the backend."""
        self.lock = RLock()
        self.backend, self.model, self.optimizer, self.dtype, self.seed = backend, model, optimizer, dtype, seed
        self.state = State(
            self._owned(state.parameters), self._owned(state.buffers), tuple(map(self._owned, state.opt_state))
        )
        self.chain, self.counters, self.arithmetic = optimizer.chain(), counters, arithmetic
        self.adapted = adapted
        """Whether layers such as Standardize have learnt what they need of the training data."""

    def _parts(self) -> dict[str, Any]:
        names = "backend", "model", "optimizer", "dtype", "seed", "state", "counters", "adapted", "arithmetic"
        return {name: getattr(self, name) for name in names}

    @whole
    def copy(self, /, **changes: Any) -> Self:
        """Return a copy with other parts."""
        return type(self)(**{**self._parts(), **changes})

    def to(self, backend: Backend, dtype: str | None = None, arithmetic: str | None = None) -> Self:
        """Return a copy elsewhere, counters included."""
        return self.copy(backend=backend, dtype=dtype or self.dtype, arithmetic=arithmetic or self.arithmetic)

    def on(self, backend: Backend) -> Self:
        """Return this state if it is there, else a copy there."""
        return self if self.backend is backend else self.to(backend)

    @whole
    def __reduce__(self) -> tuple[Any, ...]:
        host = self.backend.to_numpy
        state = State(host(self.state.parameters), host(self.state.buffers), tuple(map(host, self.state.opt_state)))
        return type(self), tuple({**self._parts(), "state": state}.values())

    def _owned(self, array: object) -> Array:
        with self.backend.scope():
            return self.backend.copy(self.backend.asarray(array, self.dtype))

    @whole
    def snapshot(self) -> Snapshot:
        """Return a copy of all that training changes."""
        copied = State(
            self.backend.copy(self.state.parameters),
            self.backend.copy(self.state.buffers),
            tuple(map(self.backend.copy, self.state.opt_state)),
        )
        return Snapshot(copied, self.counters)

    @whole
    def restore(self, snapshot: Snapshot) -> None:
        """Replace the state by a snapshot, which must not be used again."""
        self.state, self.counters = snapshot

    @whole
    def parameters(self) -> dict[str, Array]:
        """Return copies of the parameters by name, in depth order; those of frozen layers too."""
        named = self._named()
        return {entry.name: self.backend.copy(named[entry.name]) for entry in self._entries() if entry.parameter}

    @whole
    def buffers(self) -> dict[str, Array]:
        """Return copies of the buffers by name."""
        named = self._named()
        return {entry.name: self.backend.copy(named[entry.name]) for entry in self._entries() if not entry.parameter}

    def _named(self) -> dict[str, Array]:
        model, xp, state = self.model, self.backend.xp, self.state
        return model.parameters.named(xp, state.parameters) | model.buffers.named(xp, state.buffers)

    def _entries(self) -> list[Entry]:
        return sorted([*self.model.parameters.entries, *self.model.buffers.entries], key=lambda entry: entry.order)

    def set_parameters(self, values: Mapping[str, object]) -> None:
        """Set the named parameters; those not named stay. On an error nothing is changed."""
        known = {entry.name: entry for entry in self._entries() if entry.parameter}
        for name in values:
            lookup("parameters", name, known)
        self.assign(values)

    @whole
    def assign(self, values: Mapping[str, object], argument: str = "parameters") -> None:
        """Set the named parameters and buffers; those not named stay. On an error nothing is changed."""
        model, state = self.model, self.state
        self.state = state._replace(
            parameters=self._filled(argument, model.parameters, state.parameters, values),
            buffers=self._filled(argument, model.buffers, state.buffers, values),
        )

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

    @whole
    def take_average(self) -> None:
        """Put the optimizer's average of the parameters in their place."""
        if not self.counters.update:
            raise ArgumentError("averaged: there is no average yet; no step was taken")
        vector = dict(zip(self.chain.state_names, self.state.opt_state, strict=True))["average"]
        self.state = self.state._replace(parameters=self.backend.copy(vector))

    @whole
    def arrays(self) -> dict[str, np.ndarray]:
        """Return the whole state on the host, by name: parameters, buffers, optimizer.0 ..."""
        model, state = self.model, self.state

        def host(vector: Array) -> np.ndarray:  # its own: the next step may write over the state
            return np.array(self.backend.to_numpy(vector))

        named = model.parameters.named(np, host(state.parameters)) | model.buffers.named(np, host(state.buffers))
        for slot, vector in zip(self.chain.state_names, state.opt_state, strict=True):
            named |= {f"{slot}.{name}": value for name, value in model.parameters.named(np, host(vector)).items()}
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

    @whole
    def set_all(self, arrays: Mapping[str, np.ndarray], description: Mapping[str, Any]) -> None:
        """Take the state from what ``arrays`` and ``describe`` returned; all must be there, and no other array."""
        expected = self.arrays()
        if set(arrays) != set(expected):
            raise ShapeError(f"arrays: expected {sorted(expected)}; got {sorted(arrays)}")
        self.assign(arrays, "arrays")
        layout = self.model.parameters
        opt_state = [
            self._filled("arrays", layout, vector, {e.name: arrays[f"{slot}.{e.name}"] for e in layout.entries})
            for slot, vector in zip(self.chain.state_names, self.state.opt_state, strict=True)
        ]
        self.state = self.state._replace(opt_state=tuple(opt_state))
        self.counters, self.adapted = Counters(**description["counters"]), bool(description["adapted"])

    @whole
    def fingerprint(self) -> str:
        """Return SHA-256, in hex, over names, shapes, dtype and little-endian bytes of parameters and buffers."""
        model, state = self.model, self.state
        digest = hashing.sha256(self.dtype.encode())
        for layout, vector in ((model.parameters, state.parameters), (model.buffers, state.buffers)):
            digest.update(repr([(e.name, e.shape) for e in layout.entries]).encode())
            host = self.backend.to_numpy(vector)
            for e in layout.entries:
                digest.update(little_endian(host[e.start : e.stop]))
        return digest.hexdigest()

    def layer_buffers(self, index: int) -> dict[str, np.ndarray]:
        """Return a layer's buffers on the host, in float64, by the keys that the layer gives them."""
        buffers = self.backend.to_numpy(self.state.buffers).astype(np.float64)
        entries = [entry for entry in self.model.buffers.entries if entry.layer == index]
        return {entry.key: buffers[entry.start : entry.stop].reshape(entry.shape) for entry in entries}
