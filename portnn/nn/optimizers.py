"""Optimizers: one pure kernel over flat vectors, element by element.

``kernel(xp, parameters, gradients, slots, dials) -> (parameters, slots)``. ``slots`` are the optimizer's own
vectors, as long as the parameters and zero at the start; ``dials(step)`` are host numbers that change every step
(step counts from 1). To add an optimizer, write a frozen dataclass and enter it in OPTIMIZERS.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar, TypeAlias

from portnn.nn.chain import Chain, Stage
from portnn.options import Plain, between, choose
from portnn.types import Array, Namespace

Updated: TypeAlias = tuple[Array, Sequence[Array]]
"""Parameters and slots after a step."""


@dataclass(frozen=True)
class Optimizer(metaclass=Plain):
    """Base of all optimizers. Options are plain Python values: a NumPy scalar becomes one as the optimizer is made."""

    learning_rate: float = 0.01

    def __post_init__(self) -> None:
        between("learning_rate", self.learning_rate)

    slots: ClassVar[tuple[str, ...]] = ()
    """Names of the vectors that the optimizer keeps; may be a property."""

    def dials(self, step: int) -> tuple[float, ...]:
        """Return the numbers of the given step, counted from 1: the learning rate alone, if nothing else changes."""
        return (self.learning_rate,)

    def kernel(
        self, xp: Namespace, parameters: Array, gradients: Array, slots: Sequence[Array], dials: tuple[Any, ...]
    ) -> Updated:
        """Return the updated (parameters, slots)."""
        raise NotImplementedError

    def chain(self) -> Chain:
        """Return all that is done with a gradient, this optimizer's kernel included."""
        return Chain((Rule(self),))


@dataclass(frozen=True)
class SGD(Optimizer):
    """Gradient descent: v = momentum v + g; p = p - learning_rate v (Polyak 1964; PyTorch's form)."""

    learning_rate: float = 0.01
    momentum: float = 0.0

    def __post_init__(self) -> None:
        super().__post_init__()
        between("momentum", self.momentum, 0.0, 1.0)

    @property
    def slots(self) -> tuple[str, ...]:  # type: ignore[override]
        return ("velocity",) if self.momentum else ()

    def kernel(
        self, xp: Namespace, parameters: Array, gradients: Array, slots: Sequence[Array], dials: tuple[Any, ...]
    ) -> Updated:
        (rate,) = dials
        if not slots:
            return parameters - gradients * rate, ()
        v = slots[0] * self.momentum + gradients
        return parameters - v * rate, (v,)


@dataclass(frozen=True)
class Adam(Optimizer):
    """Adam (Kingma and Ba 2015, algorithm 1): epsilon is added to the root of the corrected second moment."""

    learning_rate: float = 0.001
    beta1: float = 0.9
    beta2: float = 0.999
    epsilon: float = 1e-8

    def __post_init__(self) -> None:
        super().__post_init__()
        between("beta1", self.beta1, 0.0, 1.0)
        between("beta2", self.beta2, 0.0, 1.0)
        between("epsilon", self.epsilon)

    slots: ClassVar[tuple[str, ...]] = ("m", "v")

    def dials(self, step: int) -> tuple[float, ...]:
        correction1 = 1.0 - self.beta1**step
        correction2 = 1.0 - self.beta2**step
        return self.learning_rate / correction1, 1.0 / math.sqrt(correction2)

    def kernel(
        self, xp: Namespace, parameters: Array, gradients: Array, slots: Sequence[Array], dials: tuple[Any, ...]
    ) -> Updated:
        (m, v), (rate, root) = slots, dials
        m = m * self.beta1 + gradients * (1.0 - self.beta1)
        v = v * self.beta2 + (gradients * gradients) * (1.0 - self.beta2)
        return parameters - rate * (m / (xp.sqrt(v) * root + self.epsilon)), (m, v)


class Rule(Stage):
    """The optimizer's own kernel as a stage."""

    def __init__(self, optimizer: Optimizer) -> None:
        self._optimizer = optimizer
        self.slots = tuple(optimizer.slots)

    def dials(self, step: int) -> tuple[float, ...]:
        return self._optimizer.dials(step)

    def kernel(
        self, xp: Namespace, parameters: Array, gradients: Array, slots: Sequence[Array], numbers: tuple[Any, ...]
    ) -> tuple[Array, Array, Sequence[Array]]:
        parameters, slots = self._optimizer.kernel(xp, parameters, gradients, slots, numbers)
        return parameters, gradients, slots


OPTIMIZERS: dict[str, type[Optimizer]] = {"sgd": SGD, "adam": Adam}


def make(optimizer: str | Optimizer, learning_rate: float | None) -> Optimizer:
    """Return the optimizer of that name, or the object itself, with the learning rate if one is given."""
    chosen = optimizer if isinstance(optimizer, Optimizer) else choose("optimizer", optimizer, OPTIMIZERS)()
    return chosen if learning_rate is None else replace(chosen, learning_rate=learning_rate)
