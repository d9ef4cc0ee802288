"""The base of layers: frozen objects with options; parameters are in the network's flat vector.

A layer has ``shapes`` and ``forward``. A ``PreprocessingLayer`` can also do what only the first or last layer of a
network does: preprocess data before the cast to the network's dtype, take integers, adapt to the training data.
"""

import warnings
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, ClassVar, NamedTuple

from portnn.nn.initializers import Initializer
from portnn.options import CoerceScalarsMeta
from portnn.types import Array, ForwardContext, ForwardLike, Namespace, Statistics, Weights

Features = tuple[int, ...]


class Spec(NamedTuple):
    """The specification of a parameter or buffer; a plain tuple of the first members will do.

    Examples
    --------
    >>> from portnn import Spec
    >>> Spec((3, 8), "he", decays=True).fans
    (3, 8)
    """

    shape: Features
    initializer: str | Initializer
    decays: bool = False
    """Whether weight decay and penalties apply: to weights, not to biases, scales and embeddings."""
    fan_in: int = 0
    """Number of inputs of one unit, for the initializer; 0: the length of the first axis."""
    fan_out: int = 0
    """Number of units that one input feeds; 0: the length of the last axis."""

    @property
    def fans(self) -> tuple[int, int]:
        """(fan_in, fan_out)."""
        shape = self.shape or (1,)
        return self.fan_in or shape[0], self.fan_out or shape[-1]


SpecLike = Spec | tuple[Features, str | Initializer]


@dataclass(frozen=True)
class Shapes:
    """A layer's output shape, parameters and buffers for one input shape, without the batch axis.

    Parameters
    ----------
    output : tuple of int
    parameters, buffers : mapping of str to Spec
        (shape, initializer) will do.
    min_batch_size : int

    Examples
    --------
    >>> from portnn import Shapes
    >>> Shapes((8,), {"W": ((3, 8), "he")}).buffers
    {}
    """

    output: Features
    parameters: Mapping[str, SpecLike] = field(default_factory=dict)
    buffers: Mapping[str, SpecLike] = field(default_factory=dict)
    min_batch_size: int = 1
    """Least number of rows of a training batch."""


_RENAMED = {
    "code_limits": "num_categories",
    "drawn": "sample_input",
    "enter": "preprocess",
    "fitted": "from_statistics",
    "fitted_to": "adapts_to",
}


def _take_old_names(cls: Any) -> None:
    """Accept members by their names before PreprocessingLayer, with a warning, for one release."""
    members, new = dict(vars(cls)), _RENAMED | {"codes": "num_categories", "least_rows": "Shapes.min_batch_size"}
    if not (old := [name for name in new if name in members]):
        return
    renamed = ", ".join(f"{name} is now {new[name]}" for name in old)
    warnings.warn(f"{cls.__name__}: {renamed} (portnn.PreprocessingLayer)", DeprecationWarning, stacklevel=4)
    if "least_rows" in members:
        cls.shapes = lambda self, features: replace(members["shapes"](self, features), min_batch_size=self.least_rows)
        old.remove("least_rows")
    if old and not issubclass(cls, PreprocessingLayer):
        PreprocessingLayer.register(cls)
        for name, member in vars(PreprocessingLayer).items():
            if not hasattr(cls, name):
                setattr(cls, name, member)
    if "codes" in members:
        cls.input_dtype = "int32"
        cls.num_categories = lambda self, columns: (self.codes,) * columns
        cls.sample_input = lambda self, rng, shape: rng.integers(0, self.codes, shape)
    for name in set(old) - {"codes"}:
        setattr(cls, new[name], members[name])


class Layer(metaclass=CoerceScalarsMeta):
    """Base of all layers. Options are plain Python values: a NumPy scalar becomes one as the layer is made.

    Examples
    --------
    >>> from dataclasses import dataclass
    >>> from portnn import Layer, NeuralNetwork, Shapes
    >>> @dataclass(frozen=True)
    ... class Shift(Layer):
    ...     '''y = x + s; ds = sum of dy over the rows.'''
    ...
    ...     def shapes(self, features):
    ...         return Shapes(features, {"s": (features, "zeros")})
    ...
    ...     def forward(self, xp, weights, x, mode):
    ...         return x + weights["s"], lambda dy: (dy, {"s": xp.sum(dy, axis=0)})
    >>> list(NeuralNetwork(3, Shift(), 2, seed=0, backend="numpy").parameters)
    ['s1', 'W1', 'b1']
    """

    trainable: bool = True
    """Whether training changes the parameters; a layer may make this an option."""

    def __init_subclass__(cls, **options: Any) -> None:
        super().__init_subclass__(**options)
        _take_old_names(cls)

    def shapes(self, features: Features) -> Shapes:
        """Return the shapes for an input of (batch, \\*features)."""
        raise NotImplementedError

    def forward(self, xp: Namespace, weights: Weights, x: Array, context: ForwardContext) -> ForwardLike:
        """Return the output, its ``backward``, and new values of buffers if any, as ``Forward`` or a tuple.

        The result must depend on the arguments alone: NumPy, PyTorch and JAX run the Python code once for each set of
        shapes, and replay its operations.
        """
        raise NotImplementedError


class PreprocessingLayer(Layer):
    """Base of first and last layers that preprocess raw data, or adapt to the training data.

    Such a layer must be the first one, or the last one if it adapts to the targets.

    Examples
    --------
    >>> from portnn import NeuralNetwork, PreprocessingLayer, Shapes
    >>> class Logarithm(PreprocessingLayer):
    ...     '''y = log(1 + x), in float64.'''
    ...
    ...     def shapes(self, features):
    ...         return Shapes(features)
    ...
    ...     def preprocess(self, xp, weights, x):
    ...         return xp.log1p(x)
    ...
    ...     def forward(self, xp, weights, x, mode):
    ...         return x, lambda dy: (dy, {})
    >>> NeuralNetwork(1, Logarithm(), 2, seed=0, backend="numpy").predict([[1e9]]).shape
    (1, 2)
    """

    adapts_to: ClassVar[str] = ""
    """The data whose statistics the buffers hold: "x", "y", or "" for none."""
    input_dtype: ClassVar[str] = ""
    """The dtype of the input of ``forward``; "": the network's."""

    def num_categories(self, columns: int) -> tuple[int, ...]:
        """Return the exclusive upper bound of each column of integers; these are the last of ``columns`` columns."""
        return ()

    def preprocess(self, xp: Namespace, weights: Weights, x: Array) -> Array:
        """Return the preprocessed data in float64; the cast to the network's dtype follows.

        ``x`` and ``weights`` (the buffers) are float64. Each row must depend on that row alone.
        """
        return x

    def from_statistics(self, statistics: Statistics) -> dict[str, Array]:
        """Return the buffers from the statistics of the data's columns."""
        raise NotImplementedError

    def sample_input(self, rng: Any, shape: Features) -> Array:
        """Return random valid input of this shape, from a NumPy Generator."""
        return rng.standard_normal(shape)


def as_preprocessing(layer: Layer) -> PreprocessingLayer:
    """Return a PreprocessingLayer unchanged; for other layers, one that passes data unchanged."""
    return layer if isinstance(layer, PreprocessingLayer) else PreprocessingLayer()
