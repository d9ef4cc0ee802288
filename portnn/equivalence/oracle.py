"""The true value of each tensor of a step, and bounds of the error that a library may make.

Every tensor is computed from given inputs, the same for all backends. Its true value has more digits: for float32
NumPy's in float64, with the bound (portnn/numerics/bounds.py); for float64 mpmath's
(portnn/numerics/mpmath_namespace.py), or, if that takes too long, NumPy's own result with twice the bound.
"""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np

from portnn.backend import apply_param_groups
from portnn.equivalence.lockstep import mapped
from portnn.errors import BackendUnavailableError
from portnn.model.runtime import Runtime
from portnn.model.step import State, Update
from portnn.nn.random import Key
from portnn.numerics.bounds import LAMBDA, BoundedArray, BoundingNamespace
from portnn.numerics.mpmath_namespace import MpmathNamespace, context
from portnn.options import lookup
from portnn.types import Array, Batch, Namespace

Name = tuple[str, str]
"""(layer: "1 Dense", "loss", "update" or "whole step"; tensor: "output", "dW", "W1")."""

SMALL = 150_000
"""Multiplications per step in float64 up to which mpmath is the default; mpmath makes two million a second."""


@dataclass(frozen=True)
class StepInputs:
    """The inputs of one step's tensors, on the reference."""

    state: State
    batch: Batch
    inputs: Mapping[Name, np.ndarray] | None = None
    """Replaces the input of the tensor after each one; None: the computed tensor itself."""


@dataclass(frozen=True)
class Reference:
    """The true value of a tensor, and the largest errors that a library may make."""

    value: np.ndarray
    """The true value, rounded to float64."""
    remainder: np.ndarray
    """The true value less ``value``; 0 for a value in float64."""
    probable: np.ndarray
    """Bound for independent rounding errors."""
    worst: np.ndarray
    """Worst-case bound."""
    times: int = 1
    """Number of computations whose errors add up: 2 if the value is NumPy's own."""


def trace_tensors(
    runtime: Runtime,
    xp: Namespace,
    update: Update,
    state: State,
    batch: Batch,
    key: Key,
    hyperparams: Any,
    inputs: Mapping[Name, Array] | None = None,
) -> dict[Name, Array]:
    """Run the model's step and return each tensor by name; ``inputs``, if given, replace the inputs of later tensors.

    The result depends on the arrays and numbers alone, and on no other state of the runtime.
    """
    results: dict[Name, Array] = {}
    layers = runtime.model.architecture.layers

    def hook(layer: int | str, tensor: str, array: Any) -> Any:
        if isinstance(array, Mapping):
            return {key: hook(layer, tensor + key, value) for key, value in array.items()}
        name = f"{layer + 1} {type(layers[layer]).__name__}" if isinstance(layer, int) else layer, tensor
        results[name] = array
        return array if inputs is None else inputs[name]

    new, _ = runtime.model.step(xp, update, state, batch, key, hyperparams, hook)
    return results | updated(runtime, "update", xp, new)


def trace_step(
    runtime: Runtime, xp: Namespace, update: Update, start: StepInputs, convert: Callable[[Any], Any]
) -> dict[Name, Any]:
    """Run a step from given inputs; ``convert`` brings arrays to the namespace."""
    inputs = None if start.inputs is None else {name: convert(array) for name, array in start.inputs.items()}
    state, batch = mapped(convert, start.state), tuple(map(convert, start.batch))
    return trace_tensors(runtime, xp, update, state, batch, runtime.key, runtime.hyperparams, inputs)


def updated(runtime: Runtime, layer: str, xp: Namespace, state: State) -> dict[Name, Array]:
    """Return the parameters, buffers and the optimizer's vectors of a state by name."""
    model = runtime.model
    by_name = {(layer, name): a for name, a in model.parameters.by_name(xp, state.parameters).items()}
    by_name |= {(layer, name): a for name, a in model.buffers.by_name(xp, state.buffers).items()}
    return by_name | {
        (layer, name): vector for name, vector in zip(runtime.chain.state_names, state.opt_state, strict=True)
    }


class Oracle:
    """Computes the true values of one network's steps."""

    def __init__(self, reference: Runtime, against: str, rows: int) -> None:
        """``against``: "auto" or "exact"; ``rows``: the rows of a batch.

        Raises ArgumentError for other values; BackendUnavailableError for "exact" without mpmath.
        """
        lookup("against", against, dict.fromkeys(("auto", "exact")))
        self._reference, is_float64 = reference, reference.dtype == "float64"
        small = 3 * rows * reference.model.parameters.size <= SMALL
        self.exact = against == "exact" or (is_float64 and small)
        if self.exact:
            try:
                context()
            except BackendUnavailableError:
                if against == "exact":
                    raise
                self.exact = False
        self._by_numpy = is_float64 and not self.exact

    @property
    def name(self) -> str:
        """The source of the true values, in words."""
        return "numbers of 50 digits" if self.exact else "NumPy's float64" if self._by_numpy else "float64"

    def references(self, start: StepInputs) -> dict[Name, Reference]:
        """Return the reference of each tensor, and of the whole step, in which errors compound."""
        bounds = [self._bounded(start, factor) for factor in (LAMBDA, math.inf)]
        values = self._exact(start) if self.exact else {}
        times = 2 if self._by_numpy else 1
        references = {}
        for name, probable in bounds[0].items():
            value, remainder = values.get(name, (probable.value, np.zeros(())))
            references[name] = Reference(value, remainder, probable.error, bounds[1][name].error, times)
        return references

    def _trace(self, xp: Namespace, start: StepInputs, convert: Callable[[Any], Any]) -> dict[Name, Any]:
        reference, layout = self._reference, self._reference.model.parameters
        run = partial(apply_param_groups, reference.chain.param_groups(layout.n_decayed, layout.size))
        update = partial(reference.chain.update, run)
        tensors = trace_step(reference, xp, update, start, convert)
        whole_step = trace_step(reference, xp, update, StepInputs(start.state, start.batch), convert)
        return tensors | {("whole step", tensor): a for (layer, tensor), a in whole_step.items() if layer == "update"}

    def _bounded(self, start: StepInputs, factor: float) -> dict[Name, BoundedArray]:
        def convert(array: Any) -> Any:
            return BoundedArray.from_input(array) if isinstance(array, np.ndarray) else array

        return self._trace(BoundingNamespace(factor), start, convert)

    def _exact(self, start: StepInputs) -> dict[Name, tuple[np.ndarray, np.ndarray]]:
        """Return each tensor's true value as the nearest float64 and the remainder."""
        xp = MpmathNamespace(self._reference.dtype)
        exact = self._trace(xp, start, lambda array: xp.exact(array) if isinstance(array, np.ndarray) else array)
        return {name: _in_two(np.asarray(value, object)) for name, value in exact.items()}


def _in_two(exact: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    with np.errstate(invalid="ignore", over="ignore"):
        value = exact.astype(np.float64)
        remainder = np.asarray(exact - value.astype(object), object).astype(np.float64)
    return value, np.where(np.isfinite(remainder), remainder, 0.0)


def resample(start: StepInputs, seed: int) -> StepInputs:
    """Return inputs of the same shapes, signs and zeros with random numbers: half to twice the original ones.

    Equal or regular numbers may correlate the rounding errors; of random numbers the errors are independent.
    """
    rng = np.random.default_rng(seed)

    def moved(array: Any) -> Any:
        if not isinstance(array, np.ndarray) or array.dtype.kind != "f":
            return array
        return (array * 2.0 ** rng.uniform(-1.0, 1.0, array.shape)).astype(array.dtype)

    assert start.inputs is not None
    x, y, weight = start.batch
    inputs = {name: moved(np.asarray(array)) for name, array in start.inputs.items()}
    return StepInputs(mapped(moved, start.state), (moved(x), y, weight), inputs)
