"""Types of arrays, batches, layers' results and contexts."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple, TypeAlias

from portnn.deprecated import renamed_globals, warn_renamed

Array: TypeAlias = Any
"""An array of any library that follows the Python array API standard."""

Namespace: TypeAlias = Any
"""A namespace of the array API standard (2024.12), bound to a device."""

Weights: TypeAlias = Mapping[str, Array]
"""A layer's parameters and buffers by name, as shaped views of the flat vectors."""

Closure: TypeAlias = Callable[[Array], Array]
"""Maps the gradient of an output to the gradient of the input."""

Backward: TypeAlias = Callable[[Array], tuple[Array, Mapping[str, Array]]]
"""Maps the gradient of a layer's output to those of its input and its parameters."""


@dataclass(frozen=True, slots=True)
class Forward:
    """The result of a layer's forward pass; a plain tuple of the first members will do.

    Examples
    --------
    >>> from portnn import Forward
    >>> result = Forward(1.0, lambda dy: (dy, {}))
    >>> result.buffers
    {}
    """

    output: Array
    """The layer's output, (batch, \\*features)."""
    backward: Backward
    """``backward(dy)`` returns (dx, {parameter: gradient})."""
    buffers: Mapping[str, Array] = field(default_factory=dict)
    """New values of buffers by name, for a training step."""

    @classmethod
    def of(cls, result: "ForwardLike") -> "Forward":
        """Return a layer's result as a Forward."""
        return result if isinstance(result, cls) else cls(*result)

    def __iter__(self) -> Iterator[Any]:
        """Unpack as a tuple, as forward passes of custom layers may return it."""
        return iter((self.output, self.backward, self.buffers) if self.buffers else (self.output, self.backward))


ForwardLike: TypeAlias = Forward | tuple[Array, Backward] | tuple[Array, Backward, Mapping[str, Array]]


LossFunction: TypeAlias = Callable[[Namespace, Array, Array, Any], tuple[Array, Array]]
"""``loss(xp, z, y, weight) -> (loss, dz)``; ``weight`` is a number, or one number per row, (batch, 1)."""


Batch: TypeAlias = tuple[Array, Array, Any]
"""(x, y, weight): the weight is a number, or one per row, (batch, 1)."""


class ForwardContext(NamedTuple):
    """The context of a forward pass: the fourth argument of ``forward``."""

    training: bool = False
    needs_input_grad: bool = True
    """Whether the gradient of the input is needed; not for the first layer with trainable parameters."""
    layer: int = 0
    """Number of the layer in the network."""
    key: tuple[int, int] = (0, 0)
    """Key of the step's random bits (portnn/nn/random.py)."""
    row: int = 0
    """Offset of the first row in the global batch, if the batch is split."""
    rows: int = 0
    """Number of rows of the global batch; 0: those of this one."""
    all_reduce: Callable[[Array], Array] | None = None
    """Sums an array over the parts of the batch; None: the batch is not split."""
    tiles: bool = True
    """Whether a layer may compute a few rows at a time, to need less memory: not where nobody could follow its rows."""

    @property
    def input_gradient(self) -> bool:
        """The old name of ``needs_input_grad``."""
        warn_renamed("Mode.input_gradient", "ForwardContext.needs_input_grad")
        return self.needs_input_grad

    @property
    def reduce(self) -> Callable[[Array], Array] | None:
        """The old name of ``all_reduce``."""
        warn_renamed("Mode.reduce", "ForwardContext.all_reduce")
        return self.all_reduce


class Statistics(NamedTuple):
    """Statistics of the columns of data, each row counted by its weight; each (\\*features), in float64."""

    mean: Array
    """The mean's leading 24 bits, which float32 holds exactly."""
    mean_low: Array
    """The mean less ``mean``."""
    std: Array
    """Standard deviation; 1 where a column never varies."""
    binary: Array
    """Whether each value of the column is 0 or 1, bool."""

    @property
    def rest(self) -> Array:
        """The old name of ``mean_low``."""
        warn_renamed("Statistics.rest", "Statistics.mean_low")
        return self.mean_low


__getattr__ = renamed_globals(__name__, {"Mode": "ForwardContext"})
