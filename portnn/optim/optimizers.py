"""Optimizers: one pure kernel over flat vectors, element by element.

``kernel(xp, parameters, gradients, slots, hyperparams) -> (parameters, slots)``. ``slots`` are the optimizer's own
vectors, as long as the parameters and zero at the start; ``hyperparams(step)`` are host numbers that change every step
(step counts from 1). What every optimizer may have beside its own rule (clipping, decay, averaging) is in
portnn/optim/transforms.py. To add an optimizer, write a frozen dataclass and enter it in OPTIMIZERS.
"""

import math
from collections.abc import Sequence
from dataclasses import KW_ONLY, dataclass, field, replace
from typing import Any, ClassVar, TypeAlias

from portnn import registry
from portnn.errors import ArgumentError
from portnn.optim.chain import Chain, Stage
from portnn.optim.schedules import Schedule, power
from portnn.optim.transforms import Average, ClipNorm, ClipValue, Decay, Penalty
from portnn.options import CoerceScalarsMeta, check_range, lookup
from portnn.types import Array, Namespace

Updated: TypeAlias = tuple[Array, Sequence[Array]]
"""Parameters and slots after a step."""


@dataclass(frozen=True)
class Optimizer(metaclass=CoerceScalarsMeta):
    """Base of all optimizers, with what each may have beside its own rule.

    ``learning_rate`` is a number or a schedule. ``weight_decay`` (decoupled), ``l2`` and ``l1`` (the gradients of the
    penalties l2 w² / 2 and l1 |w|) are for weights, not for biases, scales and embeddings; the loss that is reported is
    the data's alone. ``clip_norm`` and ``clip_value`` bound the gradient. ``average`` keeps an exponential moving
    average of the parameters, for ``NeuralNetwork.averaged``. Options are plain Python values.
    """

    learning_rate: float | Schedule = 0.01
    _: KW_ONLY
    weight_decay: float = 0.0
    l1: float = 0.0
    l2: float = 0.0
    clip_norm: float | None = None
    clip_value: float | None = None
    average: float | None = None

    slots: ClassVar[tuple[str, ...]] = ()
    """Names of the vectors that the rule keeps; may be a property."""

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
        """Return the numbers of the given step, counted from 1: the learning rate alone, if nothing else changes."""
        return (self.rate(step - 1),)

    def kernel(
        self, xp: Namespace, parameters: Array, gradients: Array, slots: Sequence[Array], hyperparams: tuple[Any, ...]
    ) -> Updated:
        """Return the updated (parameters, slots)."""
        raise NotImplementedError

    def chain(self) -> Chain:
        """Return all that is done with a gradient, the rule included."""
        stages: list[Stage] = []
        if self.clip_value is not None:
            stages.append(ClipValue(self.clip_value))
        if self.clip_norm is not None:
            stages.append(ClipNorm(self.clip_norm))
        if self.l1 or self.l2:
            stages.append(Penalty(self.l1, self.l2))
        if self.weight_decay:
            stages.append(Decay(self.rate, self.weight_decay))
        stages.append(Rule(self))
        if self.average is not None:
            stages.append(Average(self.average))
        return Chain(stages)


class Rule(Stage):
    """The optimizer's own kernel as a stage."""

    def __init__(self, optimizer: Optimizer) -> None:
        self._optimizer = optimizer
        self.slots = tuple(optimizer.slots)
        self.hyperparams = optimizer.hyperparams  # type: ignore[method-assign]

    def kernel(
        self, xp: Namespace, parameters: Array, gradients: Array, slots: Sequence[Array], numbers: tuple[Any, ...]
    ) -> tuple[Array, Array, Sequence[Array]]:
        parameters, slots = self._optimizer.kernel(xp, parameters, gradients, slots, numbers)
        return parameters, gradients, slots


@dataclass(frozen=True)
class SGD(Optimizer):
    """Gradient descent: v = momentum v + g; p = p - learning_rate v (Polyak 1964; PyTorch's form).

    With ``nesterov``: p = p - learning_rate (g + momentum v) (Sutskever et al. 2013).
    """

    learning_rate: float | Schedule = 0.01
    momentum: float = 0.0
    nesterov: bool = False

    def __post_init__(self) -> None:
        super().__post_init__()
        check_range("momentum", self.momentum, 0.0, 1.0)
        if self.nesterov and not self.momentum:
            raise ArgumentError("nesterov: expected a momentum above 0 with it; got 0")

    @property
    def slots(self) -> tuple[str, ...]:  # type: ignore[override]
        return ("velocity",) if self.momentum else ()

    def kernel(
        self, xp: Namespace, parameters: Array, gradients: Array, slots: Sequence[Array], hyperparams: tuple[Any, ...]
    ) -> Updated:
        (rate,) = hyperparams
        if not slots:
            return parameters - gradients * rate, ()
        v = slots[0] * self.momentum + gradients
        return parameters - (gradients + v * self.momentum if self.nesterov else v) * rate, (v,)


@dataclass(frozen=True)
class Adagrad(Optimizer):
    """s = s + g²; p = p - learning_rate g / (sqrt(s) + epsilon) (Duchi et al. 2011)."""

    learning_rate: float | Schedule = 0.01
    epsilon: float = 1e-10

    slots: ClassVar[tuple[str, ...]] = ("squares",)

    def __post_init__(self) -> None:
        super().__post_init__()
        check_range("epsilon", self.epsilon)

    def kernel(
        self, xp: Namespace, parameters: Array, gradients: Array, slots: Sequence[Array], hyperparams: tuple[Any, ...]
    ) -> Updated:
        s = slots[0] + gradients * gradients
        return parameters - hyperparams[0] * (gradients / (xp.sqrt(s) + self.epsilon)), (s,)


@dataclass(frozen=True)
class RMSprop(Optimizer):
    """s = decay s + (1 - decay) g²; p = p - learning_rate g / (sqrt(s) + epsilon) (Tieleman and Hinton 2012)."""

    learning_rate: float | Schedule = 0.01
    decay: float = 0.99
    epsilon: float = 1e-8

    slots: ClassVar[tuple[str, ...]] = ("squares",)

    def __post_init__(self) -> None:
        super().__post_init__()
        check_range("decay", self.decay, 0.0, 1.0)
        check_range("epsilon", self.epsilon)

    def kernel(
        self, xp: Namespace, parameters: Array, gradients: Array, slots: Sequence[Array], hyperparams: tuple[Any, ...]
    ) -> Updated:
        s = slots[0] * self.decay + (gradients * gradients) * (1.0 - self.decay)
        return parameters - hyperparams[0] * (gradients / (xp.sqrt(s) + self.epsilon)), (s,)


@dataclass(frozen=True)
class Adam(Optimizer):
    """Adam (Kingma and Ba 2015, algorithm 1): epsilon is added to the root of the corrected second moment."""

    learning_rate: float | Schedule = 0.001
    beta1: float = 0.9
    beta2: float = 0.999
    epsilon: float = 1e-8

    slots: ClassVar[tuple[str, ...]] = ("m", "v")

    def __post_init__(self) -> None:
        super().__post_init__()
        check_range("beta1", self.beta1, 0.0, 1.0)
        check_range("beta2", self.beta2, 0.0, 1.0)
        check_range("epsilon", self.epsilon)

    def hyperparams(self, step: int) -> tuple[float, ...]:
        correction1 = 1.0 - power(self.beta1, step)
        correction2 = 1.0 - power(self.beta2, step)
        return self.rate(step - 1) / correction1, 1.0 / math.sqrt(correction2)

    def kernel(
        self, xp: Namespace, parameters: Array, gradients: Array, slots: Sequence[Array], hyperparams: tuple[Any, ...]
    ) -> Updated:
        (m, v), (rate, root) = slots, hyperparams
        m = m * self.beta1 + gradients * (1.0 - self.beta1)
        v = v * self.beta2 + (gradients * gradients) * (1.0 - self.beta2)
        return parameters - rate * (m / (xp.sqrt(v) * root + self.epsilon)), (m, v)


@dataclass(frozen=True)
class AdamW(Adam):
    """Adam with decoupled weight decay (Loshchilov and Hutter 2019): 0.01 unless another is given."""

    weight_decay: float = field(default=0.01, kw_only=True)


@dataclass(frozen=True)
class Lion(Optimizer):
    """p = p - learning_rate sign(beta1 m + (1 - beta1) g); m = beta2 m + (1 - beta2) g (Chen et al. 2023, alg. 2)."""

    learning_rate: float | Schedule = 0.0001
    beta1: float = 0.9
    beta2: float = 0.99

    slots: ClassVar[tuple[str, ...]] = ("m",)

    def __post_init__(self) -> None:
        super().__post_init__()
        check_range("beta1", self.beta1, 0.0, 1.0)
        check_range("beta2", self.beta2, 0.0, 1.0)

    def kernel(
        self, xp: Namespace, parameters: Array, gradients: Array, slots: Sequence[Array], hyperparams: tuple[Any, ...]
    ) -> Updated:
        (m,) = slots
        direction = xp.sign(m * self.beta1 + gradients * (1.0 - self.beta1))
        return parameters - direction * hyperparams[0], (m * self.beta2 + gradients * (1.0 - self.beta2),)


OPTIMIZERS: dict[str, type[Optimizer]] = {
    "sgd": SGD,
    "adagrad": Adagrad,
    "rmsprop": RMSprop,
    "adam": Adam,
    "adamw": AdamW,
    "lion": Lion,
}
registry.kind("optimizer", Optimizer, OPTIMIZERS)


def make(optimizer: str | Optimizer, learning_rate: float | Schedule | None) -> Optimizer:
    """Return the optimizer of that name, or the object itself, with the learning rate if one is given."""
    chosen = optimizer if isinstance(optimizer, Optimizer) else lookup("optimizer", optimizer, OPTIMIZERS)()
    return chosen if learning_rate is None else replace(chosen, learning_rate=learning_rate)
