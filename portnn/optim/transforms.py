"""Gradient transformations that any optimizer may have: clipping, penalties, decay, averaging."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from portnn.optim.chain import GradientTransformation, Hyperparams, OptState
from portnn.optim.schedules import Rate, power
from portnn.types import Array, Namespace

Staged = tuple[Array, Array, Sequence[Array]]
"""(parameters, gradients, opt_state) after a transformation."""


@dataclass(frozen=True)
class ClipValue(GradientTransformation):
    """g = min(max(g, -limit), limit), each element on its own."""

    limit: float

    def kernel(self, xp: Namespace, p: Array, g: Array, opt_state: OptState, hyperparams: Hyperparams) -> Staged:
        return p, xp.minimum(xp.maximum(g, -self.limit), self.limit), opt_state


@dataclass(frozen=True)
class ClipNorm(GradientTransformation):
    """g = g min(1, limit / |g|), with the Euclidean norm over all parameters (Pascanu et al. 2013, algorithm 1)."""

    limit: float

    def global_stats(self, xp: Namespace, gradient: Array) -> tuple[Array, ...]:
        # Scaled by the largest element: squares of an exploding gradient must not overflow, or it would not be clipped.
        size = xp.max(xp.abs(gradient))
        size = xp.maximum(size, float(xp.finfo(gradient.dtype).smallest_normal))
        part = gradient * (1.0 / size)
        norm = size * xp.sqrt(xp.sum(part * part))
        return (self.limit * (1.0 / xp.maximum(norm, self.limit)),)

    def kernel(self, xp: Namespace, p: Array, g: Array, opt_state: OptState, hyperparams: Hyperparams) -> Staged:
        return p, g * hyperparams[-1], opt_state


@dataclass(frozen=True)
class AddRegularization(GradientTransformation):
    """The gradient of l1 |w| + l2 w² / 2, summed over the weights: g = g + l2 w + l1 sign(w)."""

    l1: float
    l2: float
    weights_only: ClassVar[bool] = True

    def kernel(self, xp: Namespace, p: Array, g: Array, opt_state: OptState, hyperparams: Hyperparams) -> Staged:
        if self.l2:
            g = g + p * self.l2
        if self.l1:
            g = g + xp.sign(p) * self.l1
        return p, g, opt_state


@dataclass(frozen=True)
class AddDecayedWeights(GradientTransformation):
    """Decoupled weight decay: w = w - learning_rate decay w (Loshchilov and Hutter 2019, algorithm 2)."""

    rate: Rate
    decay: float
    weights_only: ClassVar[bool] = True

    def hyperparams(self, step: int) -> tuple[float, ...]:
        return (self.rate(step - 1) * self.decay,)

    def kernel(self, xp: Namespace, p: Array, g: Array, opt_state: OptState, hyperparams: Hyperparams) -> Staged:
        return p - p * hyperparams[0], g, opt_state


@dataclass(frozen=True)
class ParamsEMA(GradientTransformation):
    """The exponential moving average of the parameters.

    a = a + (p - a) (1 - decay) / (1 - decay^step): the start is corrected like Adam's moments (Kingma and Ba 2015,
    section 3), so that the initial weights have no part in it.
    """

    decay: float
    state_names = ("average",)

    def hyperparams(self, step: int) -> tuple[float, ...]:
        return ((1.0 - self.decay) / (1.0 - power(self.decay, step)),)

    def kernel(self, xp: Namespace, p: Array, g: Array, opt_state: OptState, hyperparams: Hyperparams) -> Staged:
        (average,) = opt_state
        return p, g, (average + (p - average) * hyperparams[0],)
