"""The state of a network on one backend: copies, and access by name."""

from collections.abc import Callable, Mapping
from functools import wraps
from threading import RLock
from typing import Any, Concatenate, NamedTuple, ParamSpec, Self, TypeVar

import numpy as np

from portnn import hashing, registry
from portnn.backend import Backend, host_array
from portnn.errors import ArgumentError, DataError, DTypeError, ShapeError
from portnn.io.files import little_endian
from portnn.model.architecture import Layout, TensorInfo
from portnn.model.step import FunctionalModel, State
from portnn.optim.optimizer import Optimizer
from portnn.options import lookup
from portnn.types import Array


class Counters(NamedTuple):
    """Counters of the training so far."""

    step: int = 0
    """Training steps."""
    epoch: int = 0
    """Finished epochs."""
    update: int = 0
    """Steps since the optimizer's state was initialised; its bias corrections depend on them."""


START = Counters()


class Snapshot(NamedTuple):
    """A copy of the state and the counters."""

    state: State
    counters: Counters


P = ParamSpec("P")
T = TypeVar("T")
S = TypeVar("S", bound="NetworkState")


def locked(method: Callable[Concatenate[S, P], T]) -> Callable[Concatenate[S, P], T]:
    """Run a method under the network's lock: the method sees and changes the state between steps alone."""

    @wraps(method)
    def run(self: S, /, *arguments: P.args, **options: P.kwargs) -> T:
        with self.lock:
            return method(self, *arguments, **options)

    return run


class NetworkState:
    """A network's state on one backend.

    A step may update the state in place: a reader in another thread waits for the end of the step, and a step waits for
    readers.
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
        """Copy the state's arrays, of any library, to the backend."""
        self.lock = RLock()
        self.backend, self.model, self.optimizer, self.dtype, self.seed = backend, model, optimizer, dtype, seed
        self.state = State(
            self._owned(state.parameters), self._owned(state.buffers), tuple(map(self._owned, state.opt_state))
        )
        self.chain, self.counters, self.arithmetic = optimizer.chain(), counters, arithmetic
        self.adapted = adapted
        """Whether the preprocessing layers are adapted to training data."""

    def _parts(self) -> dict[str, Any]:
        names = "backend", "model", "optimizer", "dtype", "seed", "state", "counters", "adapted", "arithmetic"
        return {name: getattr(self, name) for name in names}

    @locked
    def copy(self, /, **changes: Any) -> Self:
        """Return a copy with some attributes replaced."""
        return type(self)(**{**self._parts(), **changes})

    def to(self, backend: Backend, dtype: str | None = None, arithmetic: str | None = None) -> Self:
        """Return a copy on another backend, counters included."""
        return self.copy(backend=backend, dtype=dtype or self.dtype, arithmetic=arithmetic or self.arithmetic)

    def on(self, backend: Backend) -> Self:
        """Return this state if it is on that backend, else a copy there."""
        return self if self.backend is backend else self.to(backend)

    @locked
    def __reduce__(self) -> tuple[Any, ...]:
        host = self.backend.to_numpy
        state = State(host(self.state.parameters), host(self.state.buffers), tuple(map(host, self.state.opt_state)))
        return type(self), tuple({**self._parts(), "state": state}.values())

    def _owned(self, array: object) -> Array:
        with self.backend.scope():
            return self.backend.copy(self.backend.asarray(array, self.dtype))

    @locked
    def snapshot(self) -> Snapshot:
        """Return a copy of the state and the counters."""
        copied = State(
            self.backend.copy(self.state.parameters),
            self.backend.copy(self.state.buffers),
            tuple(map(self.backend.copy, self.state.opt_state)),
        )
        return Snapshot(copied, self.counters)

    @locked
    def restore(self, snapshot: Snapshot) -> None:
        """Replace the state by a snapshot, which must not be used again."""
        self.state, self.counters = snapshot

    @locked
    def parameters(self) -> dict[str, Array]:
        """Return copies of the parameters by name, in depth order; those of frozen layers too."""
        tensors = self._tensor_views()
        return {
            tensor.name: self.backend.copy(tensors[tensor.name]) for tensor in self._tensor_infos() if tensor.parameter
        }

    @locked
    def buffers(self) -> dict[str, Array]:
        """Return copies of the buffers by name."""
        tensors = self._tensor_views()
        return {
            tensor.name: self.backend.copy(tensors[tensor.name])
            for tensor in self._tensor_infos()
            if not tensor.parameter
        }

    def _tensor_views(self) -> dict[str, Array]:
        model, xp, state = self.model, self.backend.xp, self.state
        return model.parameters.by_name(xp, state.parameters) | model.buffers.by_name(xp, state.buffers)

    def _tensor_infos(self) -> list[TensorInfo]:
        return sorted([*self.model.parameters.tensors, *self.model.buffers.tensors], key=lambda tensor: tensor.order)

    def set_parameters(self, values: Mapping[str, object]) -> None:
        """Set the named parameters; others stay. An error changes nothing."""
        parameters = {tensor.name: tensor for tensor in self._tensor_infos() if tensor.parameter}
        for name in values:
            lookup("parameters", name, parameters)
        self.assign(values)

    @locked
    def assign(self, values: Mapping[str, object], argument: str = "parameters") -> None:
        """Set the named parameters and buffers; others stay. An error changes nothing."""
        model, state = self.model, self.state
        self.state = state._replace(
            parameters=self._filled(argument, model.parameters, state.parameters, values),
            buffers=self._filled(argument, model.buffers, state.buffers, values),
        )

    def _filled(self, argument: str, layout: Layout, vector: Array, values: Mapping[str, object]) -> Array:
        filled = np.array(self.backend.to_numpy(vector))
        for tensor in layout.tensors:
            name = tensor.name
            if name not in values:
                continue
            value = values[name]
            array = host_array(value, argument=f"{argument}[{name!r}]")
            if array.dtype.kind not in "biuf":
                raise DTypeError(f"{argument}[{name!r}]: expected real numbers; got dtype {array.dtype}")
            if array.shape != tensor.shape:
                raise ShapeError(f"{argument}[{name!r}]: expected shape {tensor.shape}; got {array.shape}")
            with np.errstate(over="ignore"):  # too large values become infinity, which is refused below
                filled[tensor.start : tensor.stop] = array.ravel()
        if not np.all(np.isfinite(filled)):
            raise DataError(f"{argument}: expected finite numbers within {self.dtype}'s range; got NaN or infinity")
        return self.backend.copy(self.backend.asarray(filled, self.dtype))

    @locked
    def use_average(self) -> None:
        """Replace the parameters by the optimizer's average of them."""
        if not self.counters.update:
            raise ArgumentError("averaged: expected at least one training step; there is no average yet")
        vector = dict(zip(self.chain.state_names, self.state.opt_state, strict=True))["average"]
        self.state = self.state._replace(parameters=self.backend.copy(vector))

    @locked
    def arrays(self) -> dict[str, np.ndarray]:
        """Return the whole state on the host, by name: parameters, buffers, optimizer.0 ..."""
        model, state = self.model, self.state

        def host(vector: Array) -> np.ndarray:  # a copy: the next step may write over the state
            return np.array(self.backend.to_numpy(vector))

        tensors = model.parameters.by_name(np, host(state.parameters)) | model.buffers.by_name(np, host(state.buffers))
        for slot, vector in zip(self.chain.state_names, state.opt_state, strict=True):
            tensors |= {f"{slot}.{name}": value for name, value in model.parameters.by_name(np, host(vector)).items()}
        return tensors

    def get_config(self) -> dict[str, Any]:
        """Return the optimizer, dtype, seed, counters and the like as plain values, for a file."""
        return {
            "optimizer": registry.get_config(self.optimizer),
            "dtype": self.dtype,
            "arithmetic": self.arithmetic,
            "seed": self.seed,
            "counters": self.counters._asdict(),
            "adapted": self.adapted,
        }

    @locked
    def load_state(self, arrays: Mapping[str, np.ndarray], config: Mapping[str, Any]) -> None:
        """Replace the state by one that ``arrays`` and ``get_config`` returned: every array, and no other one."""
        expected = self.arrays()
        if set(arrays) != set(expected):
            raise ShapeError(f"arrays: expected {sorted(expected)}; got {sorted(arrays)}")
        self.assign(arrays, "arrays")
        layout = self.model.parameters
        opt_state = [
            self._filled("arrays", layout, vector, {e.name: arrays[f"{slot}.{e.name}"] for e in layout.tensors})
            for slot, vector in zip(self.chain.state_names, self.state.opt_state, strict=True)
        ]
        self.state = self.state._replace(opt_state=tuple(opt_state))
        self.counters, self.adapted = Counters(**config["counters"]), bool(config["adapted"])

    @locked
    def fingerprint(self) -> str:
        """Return SHA-256, in hex, over names, shapes, dtype and little-endian bytes of parameters and buffers."""
        model, state = self.model, self.state
        digest = hashing.sha256(self.dtype.encode())
        for layout, vector in ((model.parameters, state.parameters), (model.buffers, state.buffers)):
            digest.update(repr([(e.name, e.shape) for e in layout.tensors]).encode())
            host = self.backend.to_numpy(vector)
            for e in layout.tensors:
                digest.update(little_endian(host[e.start : e.stop]))
        return digest.hexdigest()

    def layer_buffers(self, index: int) -> dict[str, np.ndarray]:
        """Return a layer's buffers on the host, in float64, by the keys that the layer gives them."""
        buffers = self.backend.to_numpy(self.state.buffers).astype(np.float64)
        tensors = [tensor for tensor in self.model.buffers.tensors if tensor.layer == index]
        return {tensor.key: buffers[tensor.start : tensor.stop].reshape(tensor.shape) for tensor in tensors}
