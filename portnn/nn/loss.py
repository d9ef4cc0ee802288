"""What a loss is: value and gradient in one pass, and what it needs to know of its surroundings.

``loss(xp, z, y, weight) -> (loss, dz)``: the loss is a 0-d array, ``dz`` has the shape of ``z``,
(batch, outputs). ``weight`` multiplies each row and carries the reduction: 1 / batch for a mean, 1 for a sum,
or one number per row, (batch, 1), for weighted rows. It always comes from the global batch, so parts of a
batch add up to the whole.

A loss with a ``pair`` works from the pre-activation (the logits) of that output activation, so that no finite
logit gives infinity or NaN; any other works from the network's output.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from portnn import registry
from portnn.options import CoerceScalarsMeta
from portnn.types import Array, LossFunction, Namespace


@dataclass(frozen=True)
class Loss(metaclass=CoerceScalarsMeta):
    """Base of losses: one of your own is a frozen dataclass with ``__call__``, or ``Loss(function)``.

    ``Loss`` is a decorator of a function, too, whose gradient may be of the output or, with ``pair``, of the logits.

    Parameters
    ----------
    function : callable
        ``function(xp, a, y, weight) -> (loss, da)``.
    mean : bool
        Whether ``weight`` is 1 / batch; otherwise 1.
    pair : str, optional
        The output activation whose logits ``function`` takes.
    labels : bool
        Whether ``function`` takes integer class labels, (batch,), beside values.
    inverse_link : callable, optional
        ``inverse_link(xp, outputs)`` returns what metrics compare with the targets.

    Examples
    --------
    >>> from portnn import Loss, NeuralNetwork
    >>> @Loss
    ... def quartic(xp, a, y, weight):
    ...     '''L = (a - y)^4; dL/da = 4 (a - y)^3.'''
    ...     e = a - y
    ...     return xp.sum(e * e * e * e * weight), 4.0 * e * e * e * weight
    >>> NeuralNetwork(2, 1, loss=quartic, seed=0, backend="numpy").fit([[0.0, 1.0]] * 2, [0.0, 1.0]).loss[0] >= 0.0
    True
    """

    # Not annotated: they are no options, which a dataclass would make of them.
    mean = True
    """Whether the loss is a mean over the rows; otherwise a sum."""
    pair = None  # type: str | None
    """The output activation that the loss contains; None: it takes the activated output."""
    labels = False
    """Whether integer class labels, (batch,), are accepted beside one value per output."""
    inverse_link = None  # type: Any
    """``inverse_link(xp, outputs)`` gives what the outputs predict, which metrics compare; None: the outputs."""

    def __new__(cls, *arguments: Any, **options: Any) -> "Loss":
        return super().__new__(_FunctionLoss if cls is Loss else cls)

    def __call__(self, xp: Namespace, z: Array, y: Array, weight: Any) -> tuple[Array, Array]:
        """Return (loss, dz) for ``z``, (batch, outputs), and targets ``y``."""
        raise NotImplementedError

    @staticmethod
    def named(name: str, **options: Any) -> "Loss":
        """Return a loss by its name with options: ``Loss.named("huber", delta=2.0)`` is ``Huber(delta=2.0)``.

        Raises ArgumentError for options that it does not have.
        """
        made: Loss = registry.with_options("loss", name, options)
        return made


@dataclass(frozen=True)
class _FunctionLoss(Loss):
    """What ``Loss(function)`` makes."""

    function: LossFunction
    mean: bool = True
    pair: str | None = None
    labels: bool = False
    inverse_link: Callable[[Namespace, Array], Array] | None = None

    def __call__(self, xp: Namespace, z: Array, y: Array, weight: Any) -> tuple[Array, Array]:
        return self.function(xp, z, y, weight)
