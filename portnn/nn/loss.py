"""The base of losses: value and gradient in one pass.

``loss(xp, z, y, weight) -> (loss, dz)``: the loss is a 0-d array, ``dz`` has the shape of ``z``, (batch, outputs).
``weight`` multiplies each row and contains the reduction: 1 / batch for a mean, 1 for a sum, or one number per row,
(batch, 1), for weighted rows. It belongs to the global batch, so that parts of a batch add up.

A loss with a ``pair`` takes the logits of that output activation, so that no finite logit gives infinity or NaN; other
losses take the network's output.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from portnn import registry
from portnn.options import CoerceScalarsMeta
from portnn.types import Array, LossFunction, Namespace


@dataclass(frozen=True)
class Loss(metaclass=CoerceScalarsMeta):
    """Base of losses. A loss of your own is a frozen dataclass with ``__call__``, or ``Loss(function)``.

    ``Loss`` is also a decorator of a function. Its gradient is that of the output or, with ``pair``, of the logits.

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

    # Without annotations, so that a dataclass does not make options of them.
    mean = True
    """Whether the loss is a mean over the rows; else it is a sum."""
    pair = None  # type: str | None
    """The output activation that the loss contains; None: it takes the activated output."""
    labels = False
    """Whether integer class labels, (batch,), are accepted beside one value per output."""
    inverse_link = None  # type: Any
    """``inverse_link(xp, outputs)`` returns the predictions that metrics compare; None: the outputs themselves."""

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
        loss: Loss = registry.with_options("loss", name, options)
        return loss


@dataclass(frozen=True)
class _FunctionLoss(Loss):
    """The class of ``Loss(function)``."""

    function: LossFunction
    mean: bool = True
    pair: str | None = None
    labels: bool = False
    inverse_link: Callable[[Namespace, Array], Array] | None = None

    def __call__(self, xp: Namespace, z: Array, y: Array, weight: Any) -> tuple[Array, Array]:
        return self.function(xp, z, y, weight)
