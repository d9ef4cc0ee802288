"""The base of optimizers: options, a learning rate, and one pure kernel over flat vectors."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import KW_ONLY, dataclass
from typing import ClassVar, TypeAlias

from portnn.deprecated import RenamedMembers
from portnn.errors import ArgumentError
from portnn.optim.chain import Chain, GradientTransformation, Hyperparams, OptState
from portnn.optim.schedules import Schedule
from portnn.optim.transforms import AddDecayedWeights, AddRegularization, ClipNorm, ClipValue, ParamsEMA
from portnn.options import CoerceScalarsMeta, check_range
from portnn.types import Array, Namespace

Updated: TypeAlias = tuple[Array, Sequence[Array]]
"""Parameters and opt_state after a step."""


@dataclass(frozen=True)
class Optimizer(RenamedMembers, metaclass=CoerceScalarsMeta):
    """Base of all optimizers, with the options that each of them has.

    ``learning_rate`` is a number or a schedule. ``weight_decay`` (decoupled), ``l2`` and ``l1`` (the gradients of the
    penalties l2 w² / 2 and l1 |w|) apply to weights, not to biases, scales and embeddings; the reported loss is without
    them. ``clip_norm`` and ``clip_value`` bound the gradient. ``average`` keeps an exponential moving average of the
    parameters, for ``NeuralNetwork.averaged``. Options become plain Python values.

    Parameters
    ----------
    learning_rate : float or Schedule
    weight_decay, l1, l2 : float
        At least 0; for weights alone.
    clip_norm, clip_value : float, optional
        One of the two.
    average : float, optional
        Decay of the moving average, in [0, 1).

    Examples
    --------
    >>> from dataclasses import dataclass
    >>> from portnn import NeuralNetwork, Optimizer
    >>> @dataclass(frozen=True)
    ... class SignSGD(Optimizer):
    ...     '''p = p - learning_rate sign(g).'''
    ...
    ...     def kernel(self, xp, parameters, gradients, opt_state, hyperparams):
    ...         return parameters - xp.sign(gradients) * hyperparams[0], ()
    >>> net = NeuralNetwork(2, 1, optimizer=SignSGD(0.1), seed=0, backend="numpy")
    >>> len(net.fit([[0.0, 1.0], [1.0, 0.0]], [0.0, 1.0], epochs=3).loss)
    3
    """

    learning_rate: float | Schedule = 0.01
    _: KW_ONLY
    weight_decay: float = 0.0
    l1: float = 0.0
    l2: float = 0.0
    clip_norm: float | None = None
    clip_value: float | None = None
    average: float | None = None

    state_names: ClassVar[tuple[str, ...]] = ()
    """Names of the state vectors; may be a property."""
    _renamed: ClassVar[Mapping[str, str]] = {"slots": "state_names", "dials": "hyperparams"}

    def __post_init__(self) -> None:
        if not isinstance(self.learning_rate, Schedule):
            check_range("learning_rate", self.learning_rate)
        for name in ("weight_decay", "l1", "l2"):
            check_range(name, getattr(self, name))
        for name in ("clip_norm", "clip_value"):
            if (limit := getattr(self, name)) is not None:
                check_range(name, limit, math.ulp(0.0))
        if self.average is not None:
            check_range("average", self.average, 0.0, 1.0)
        if None not in (self.clip_norm, self.clip_value):
            raise ArgumentError("clip_norm: expected one of clip_norm and clip_value; got both")

    def rate(self, step: int) -> float:
        """Return the learning rate of a step, counted from 0."""
        rate = self.learning_rate
        return rate(step) if callable(rate) else rate

    def hyperparams(self, step: int) -> tuple[float, ...]:
        """Return the host numbers of a step, counted from 1; by default the learning rate."""
        return (self.rate(step - 1),)

    def kernel(
        self, xp: Namespace, parameters: Array, gradients: Array, opt_state: OptState, hyperparams: Hyperparams
    ) -> Updated:
        """Return the updated (parameters, opt_state)."""
        raise NotImplementedError

    def chain(self) -> Chain:
        """Return all transformations of a gradient, the optimizer's rule included."""
        transforms: list[GradientTransformation] = []
        if self.clip_value is not None:
            transforms.append(ClipValue(self.clip_value))
        if self.clip_norm is not None:
            transforms.append(ClipNorm(self.clip_norm))
        if self.l1 or self.l2:
            transforms.append(AddRegularization(self.l1, self.l2))
        if self.weight_decay:
            transforms.append(AddDecayedWeights(self.rate, self.weight_decay))
        transforms.append(UpdateRule(self))
        if self.average is not None:
            transforms.append(ParamsEMA(self.average))
        return Chain(transforms)


class UpdateRule(GradientTransformation):
    """The optimizer's own kernel as a transformation."""

    def __init__(self, optimizer: Optimizer) -> None:
        self._optimizer = optimizer
        self.state_names = tuple(optimizer.state_names)
        self.hyperparams = optimizer.hyperparams  # type: ignore[method-assign]

    def kernel(
        self, xp: Namespace, parameters: Array, gradients: Array, opt_state: OptState, hyperparams: Hyperparams
    ) -> tuple[Array, Array, Sequence[Array]]:
        parameters, opt_state = self._optimizer.kernel(xp, parameters, gradients, opt_state, hyperparams)
        return parameters, gradients, opt_state
