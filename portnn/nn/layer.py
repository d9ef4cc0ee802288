"""What a layer is: a small frozen object that holds options; parameters live in the network's flat vector.

``forward(xp, weights, x, mode)`` returns the output and a ``backward`` closure: ``dx, gradients = backward(dy)``.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar, NamedTuple

from portnn.options import Plain
from portnn.types import Array, Forward, Mode, Namespace, Statistics, Weights

Features = tuple[int, ...]


class Spec(NamedTuple):
    """One parameter or buffer; a plain tuple of the first members will do."""

    shape: Features
    initializer: str
    decays: bool = False
    """Whether weight decay and penalties are for it: for weights, not for biases, scales and embeddings."""
    fan_in: int = 0
    """Inputs of one unit, for the initializer; 0: the first axis."""
    fan_out: int = 0
    """Units that one input goes to; 0: the last axis."""

    @property
    def fans(self) -> tuple[int, int]:
        """(fan_in, fan_out)."""
        shape = self.shape or (1,)
        return self.fan_in or shape[0], self.fan_out or shape[-1]


SpecLike = Spec | tuple[Features, str]


@dataclass(frozen=True)
class Shapes:
    """What a layer holds and gives for one shape of input, the batch axis left out."""

    output: Features
    parameters: Mapping[str, SpecLike] = field(default_factory=dict)
    buffers: Mapping[str, SpecLike] = field(default_factory=dict)


class Layer(metaclass=Plain):
    """Base of all layers. Options are plain Python values: a NumPy scalar becomes one as the layer is made."""

    fitted_to: ClassVar[str] = ""
    """What the buffers are fitted to, in the first data to train on: "x", "y" or nothing."""
    trainable: bool = True
    """Whether training changes the parameters; a layer may have it as an option."""
    least_rows: ClassVar[int] = 1
    """Rows that a batch to train on must have."""
    codes: int = 0
    """For a first layer that takes whole numbers, as int32, rather than the network's dtype: they are below this."""

    def shapes(self, features: Features) -> Shapes:
        """Return the shapes for an input of (batch, \\*features)."""
        raise NotImplementedError

    def code_limits(self, columns: int) -> tuple[int, ...]:
        """Return, for a first layer, below what each of its last columns is to be, which are whole numbers."""
        return (self.codes,) * columns if self.codes else ()

    def enter(self, xp: Namespace, weights: Weights, x: Array) -> Array:
        """Return the data as ``forward`` takes them, for the first layer alone: before the cast to the network's dtype.

        ``x`` and ``weights`` (the buffers) are float64. Must be element by element in each row.
        """
        return x

    def forward(self, xp: Namespace, weights: Weights, x: Array, mode: Mode) -> Forward:
        """Return (output, backward); ``backward(dy)`` returns (dx, {parameter: gradient}).

        A third member gives new values of buffers by name; they are taken in training. It must depend on its arguments
        alone: NumPy and JAX run its Python once for each set of shapes, and then the operations without it.
        """
        raise NotImplementedError

    def drawn(self, rng: Any, shape: Features) -> Array:
        """Return rows of that shape, drawn by a NumPy Generator, as the layer takes them where it is the first."""
        return rng.integers(0, self.codes, shape) if self.codes else rng.standard_normal(shape)

    def fitted(self, statistics: Statistics) -> dict[str, Array]:
        """Return the buffers for data whose columns have these statistics."""
        raise NotImplementedError
