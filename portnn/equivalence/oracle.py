"""What a step should have come to: the true value of each piece, and how far from it a library may be.

Every piece starts from inputs that are given, the same for all. Its true value is computed in more digits: in float32
by NumPy in float64, beside the bound (portnn/numerics/bounds.py); in float64 by the arbiter (arbiter.py), or, where
that takes too long, NumPy's own result stands for it, and twice the bound for the bound.
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
"""Where ("1 Dense", "loss", "update", "whole step") and what ("output", "dW", "W1")."""

SMALL = 150_000
"""Multiplications of a step in float64 up to which the arbiter is asked by itself: it makes two million a second."""


@dataclass(frozen=True)
class StepInputs:
    """What the pieces of one step start from, on the reference."""

    state: State
    batch: Batch
    inputs: Mapping[Name, np.ndarray] | None = None
    """What the piece after each starts from; None: what the piece gave."""


@dataclass(frozen=True)
class Reference:
    """Of one piece: its true value, and the largest errors that a library may make."""

    value: np.ndarray
    """In float64."""
    rest: np.ndarray
    """What float64 leaves of an exact value; else 0."""
    probable: np.ndarray
    """Where rounding errors are independent."""
    worst: np.ndarray
    """Where they conspire."""
    times: int = 1
    """How many computations are between: two, where the value is NumPy's own."""


def pieces(
    runtime: Runtime,
    xp: Namespace,
    update: Update,
    state: State,
    batch: Batch,
    key: Key,
    hyperparams: Any,
    inputs: Mapping[Name, Array] | None = None,
) -> dict[Name, Array]:
    """Take the core's own step and return each of its pieces; what starts from a piece starts from ``inputs``, if any.

    Of the runtime, only what its core consists of: the result depends on the arrays and numbers alone.
    """
    results: dict[Name, Array] = {}
    layers = runtime.model.architecture.layers

    def hook(place: int | str, what: str, array: Any) -> Any:
        if isinstance(array, Mapping):
            return {key: hook(place, what + key, value) for key, value in array.items()}
        name = f"{place + 1} {type(layers[place]).__name__}" if isinstance(place, int) else place, what
        results[name] = array
        return array if inputs is None else inputs[name]

    new, _ = runtime.model.step(xp, update, state, batch, key, hyperparams, hook)
    return results | updated(runtime, "update", xp, new)


def trace_step(
    runtime: Runtime, xp: Namespace, update: Update, start: StepInputs, given: Callable[[Any], Any]
) -> dict[Name, Any]:
    """Take a step from a start, piece by piece; ``given`` brings arrays to the namespace."""
    inputs = None if start.inputs is None else {name: given(array) for name, array in start.inputs.items()}
    state, batch = mapped(given, start.state), tuple(map(given, start.batch))
    return pieces(runtime, xp, update, state, batch, runtime.key, runtime.hyperparams, inputs)


def updated(runtime: Runtime, place: str, xp: Namespace, state: State) -> dict[Name, Array]:
    """Return the parameters, buffers and the optimizer's vectors of a state by name."""
    model = runtime.model
    by_name = {(place, name): a for name, a in model.parameters.by_name(xp, state.parameters).items()}
    by_name |= {(place, name): a for name, a in model.buffers.by_name(xp, state.buffers).items()}
    return by_name | {
        (place, name): slot for name, slot in zip(runtime.chain.state_names, state.opt_state, strict=True)
    }


class Oracle:
    """Knows the truth about the steps of one network."""

    def __init__(self, reference: Runtime, against: str, rows: int) -> None:
        """Take the reference, what to judge by ("auto" or "exact"), and the rows of a batch.

        Raises ArgumentError for anything else; BackendUnavailableError for "exact" without mpmath.
        """
        lookup("against", against, dict.fromkeys(("auto", "exact")))
        self._reference, wide = reference, reference.dtype == "float64"
        small = 3 * rows * reference.model.parameters.size <= SMALL
        self.exact = against == "exact" or (wide and small)
        if self.exact:
            try:
                context()
            except BackendUnavailableError:
                if against == "exact":
                    raise
                self.exact = False
        self._by_numpy = wide and not self.exact

    @property
    def name(self) -> str:
        """What it judges by, in words."""
        return "numbers of 50 digits" if self.exact else "NumPy's float64" if self._by_numpy else "float64"

    def truths(self, start: StepInputs) -> dict[Name, Reference]:
        """Return the truth about each piece, and about the whole step, in which errors do compound."""
        bounds = [self._bounded(start, factor) for factor in (LAMBDA, math.inf)]
        values = self._exact(start) if self.exact else {}
        times = 2 if self._by_numpy else 1
        truths = {}
        for name, probable in bounds[0].items():
            value, rest = values.get(name, (probable.value, np.zeros(())))
            truths[name] = Reference(value, rest, probable.error, bounds[1][name].error, times)
        return truths

    def _pieces(self, xp: Namespace, start: StepInputs, given: Callable[[Any], Any]) -> dict[Name, Any]:
        reference, layout = self._reference, self._reference.model.parameters
        run = partial(apply_param_groups, reference.chain.param_groups(layout.n_decayed, layout.size))
        update = partial(reference.chain.update, run)
        pieces = trace_step(reference, xp, update, start, given)
        whole = trace_step(reference, xp, update, StepInputs(start.state, start.batch), given)
        return pieces | {("whole step", what): a for (place, what), a in whole.items() if place == "update"}

    def _bounded(self, start: StepInputs, factor: float) -> dict[Name, BoundedArray]:
        def given(array: Any) -> Any:
            return BoundedArray.given(array) if isinstance(array, np.ndarray) else array

        return self._pieces(BoundingNamespace(factor), start, given)

    def _exact(self, start: StepInputs) -> dict[Name, tuple[np.ndarray, np.ndarray]]:
        """Return of each piece the nearest float64, and what is left."""
        xp = MpmathNamespace(self._reference.dtype)
        found = self._pieces(xp, start, lambda array: xp.exact(array) if isinstance(array, np.ndarray) else array)
        return {name: _in_two(np.asarray(value, object)) for name, value in found.items()}


def _in_two(exact: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    with np.errstate(invalid="ignore", over="ignore"):
        value = exact.astype(np.float64)
        rest = np.asarray(exact - value.astype(object), object).astype(np.float64)
    return value, np.where(np.isfinite(rest), rest, 0.0)


def resample(start: StepInputs, seed: int) -> StepInputs:
    """Return a start of the same shapes, signs and zeros, whose numbers are drawn: from half to twice what they were.

    Where numbers are equal, or in some other order, rounding errors may all go one way; here they are independent.
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
