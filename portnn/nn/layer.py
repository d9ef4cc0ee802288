"""What a layer is: a small frozen object that holds options; parameters live in the network's flat vector.

A layer of one's own has ``shapes`` and ``forward``; ``PreprocessingLayer`` has what only a network's first layer does,
or its last: data before the cast to the network's dtype, whole numbers, statistics of the data to train on.
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
    """One parameter or buffer; a plain tuple of the first members will do.

    Examples
    --------
    >>> from portnn import Spec
    >>> Spec((3, 8), "he", decays=True).fans
    (3, 8)
    """

    shape: Features
    initializer: str | Initializer
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


SpecLike = Spec | tuple[Features, str | Initializer]


@dataclass(frozen=True)
class Shapes:
    """What a layer holds and gives for one shape of input, the batch axis left out.

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
    """Rows that a batch to train on must have."""


_RENAMED = {
    "code_limits": "num_categories",
    "drawn": "sample_input",
    "enter": "preprocess",
    "fitted": "from_statistics",
    "fitted_to": "adapts_to",
}


def _take_old_names(cls: Any) -> None:
    """Read members by the names that they had before PreprocessingLayer, with a warning: for one release."""
    own, new = dict(vars(cls)), _RENAMED | {"codes": "num_categories", "least_rows": "Shapes.min_batch_size"}
    if not (old := [name for name in new if name in own]):
        return
    renamed = ", ".join(f"{name} is now {new[name]}" for name in old)
    warnings.warn(f"{cls.__name__}: {renamed} (portnn.PreprocessingLayer)", DeprecationWarning, stacklevel=4)
    if "least_rows" in own:
        cls.shapes = lambda self, features: replace(own["shapes"](self, features), min_batch_size=self.least_rows)
        old.remove("least_rows")
    if old and not issubclass(cls, PreprocessingLayer):
        PreprocessingLayer.register(cls)
        for name, member in vars(PreprocessingLayer).items():
            if not hasattr(cls, name):
                setattr(cls, name, member)
    if "codes" in own:
        cls.input_dtype = "int32"
        cls.num_categories = lambda self, columns: (self.codes,) * columns
        cls.sample_input = lambda self, rng, shape: rng.integers(0, self.codes, shape)
    for name in set(old) - {"codes"}:
        setattr(cls, new[name], own[name])


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
    """Whether training changes the parameters; a layer may have it as an option."""

    def __init_subclass__(cls, **options: Any) -> None:
        super().__init_subclass__(**options)
        _take_old_names(cls)

    def shapes(self, features: Features) -> Shapes:
        """Return the shapes for an input of (batch, \\*features)."""
        raise NotImplementedError

    def forward(self, xp: Namespace, weights: Weights, x: Array, context: ForwardContext) -> ForwardLike:
        """Return the output, its ``backward``, and new values of buffers, if any, as ``Forward`` or a tuple of these.

        It must depend on its arguments alone: NumPy and JAX run its Python once for each set of shapes, and then the
        operations without it.
        """
        raise NotImplementedError


class PreprocessingLayer(Layer):
    """Base of layers at the edges of a network: they take raw data, or are fitted to data before training.

    Such a layer is the first one; one that adapts to the targets is the last.

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
    """The data whose statistics give the buffers, before the first training step: "x", "y" or, for none, ""."""
    input_dtype: ClassVar[str] = ""
    """The dtype that ``forward`` takes; "": the network's."""

    def num_categories(self, columns: int) -> tuple[int, ...]:
        """Return, for each of the last of so many columns that hold whole numbers, what these are below."""
        return ()

    def preprocess(self, xp: Namespace, weights: Weights, x: Array) -> Array:
        """Return the data as ``forward`` takes them, in float64: they are then cast to the network's dtype.

        ``x`` and ``weights`` (the buffers) are float64. Must be element by element in each row.
        """
        return x

    def from_statistics(self, statistics: Statistics) -> dict[str, Array]:
        """Return the buffers for data whose columns have these statistics."""
        raise NotImplementedError

    def sample_input(self, rng: Any, shape: Features) -> Array:
        """Return data of that shape, drawn by a NumPy Generator, as the layer takes them."""
        return rng.standard_normal(shape)


def as_preprocessing(layer: Layer) -> PreprocessingLayer:
    """Return the layer where it is a PreprocessingLayer, else one that takes all data as they are."""
    return layer if isinstance(layer, PreprocessingLayer) else PreprocessingLayer()
