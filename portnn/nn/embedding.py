"""First layers with a trainable vector (an embedding) for each whole number: alone, and beside numbers of a table."""

from dataclasses import dataclass
from itertools import accumulate
from typing import Any, ClassVar

from portnn.errors import ArgumentError, ShapeError
from portnn.nn.initializers import Initializer, check
from portnn.nn.layer import Features, PreprocessingLayer, Shapes, Spec
from portnn.nn.preprocessing import Standardize
from portnn.options import check_positive_int
from portnn.types import Array, Forward, ForwardContext, Namespace, Statistics, Weights


@dataclass(frozen=True)
class Embedding(PreprocessingLayer):
    """A trainable vector for each whole number below ``entries``: (batch, columns) of int32 to (batch, columns, units).

    It must be the first layer; ``Flatten`` follows before a ``Dense``. A number out of range is refused where values
    are checked, and gives infinity or NaN where they are not (``step``). dE = one_hot(x)^T dy: the same sum on every
    library, where each has a scatter of its own.

    Parameters
    ----------
    entries : int
        Numbers that there are: 0 to ``entries`` - 1.
    units : int
        Length of a vector.
    initializer : str or Initializer
    trainable : bool

    Examples
    --------
    >>> import numpy as np
    >>> from portnn import Embedding, Flatten, NeuralNetwork
    >>> net = NeuralNetwork(2, Embedding(10, 3), Flatten(), 1, seed=0, backend="numpy")
    >>> net.predict(np.array([[4, 9], [0, 1]])).shape
    (2, 1)
    """

    entries: int
    units: int
    initializer: str | Initializer = "normal"
    trainable: bool = True
    input_dtype: ClassVar[str] = "int32"

    def __post_init__(self) -> None:
        check_positive_int("entries", self.entries)
        check_positive_int("units", self.units)
        check(self.initializer)

    def num_categories(self, columns: int) -> tuple[int, ...]:
        return (self.entries,) * columns

    def shapes(self, features: Features) -> Shapes:
        return Shapes((*features, self.units), {"E": Spec((self.entries, self.units), self.initializer)})

    def forward(self, xp: Namespace, weights: Weights, x: Array, context: ForwardContext) -> Forward:
        table = weights["E"]
        flat = xp.reshape(x, (-1,))
        known = (flat > -1) & (flat < self.entries)
        place = flat * xp.astype(known, flat.dtype)
        y = xp.take(table, place, axis=0) * xp.expand_dims(1.0 / xp.astype(known, table.dtype), axis=1)

        def backward(dy: Array) -> tuple[None, dict[str, Array]]:
            entries = xp.arange(self.entries, dtype=flat.dtype)
            one_hot = xp.astype(xp.expand_dims(place, axis=1) == entries, table.dtype)
            return None, {"E": xp.matmul(xp.matrix_transpose(one_hot), xp.reshape(dy, (-1, self.units)))}

        return Forward(xp.reshape(y, (*x.shape, self.units)), backward)

    def sample_input(self, rng: Any, shape: Features) -> Array:
        return rng.integers(0, self.entries, shape)


@dataclass(frozen=True)
class Tabular(Standardize):
    """Standardize for tables: of text columns of many values, each value has a trainable vector (an embedding).

    The last columns are codes, one for each member of ``entries``: whole numbers up to it, of which 0 (never seen, or
    once) has the zero vector; others are refused as ``Embedding``'s are. The columns before them are standardised, but
    for those of 0 and 1 alone (a text's values, whether there was a gap), which pass as they are: of a value in 1 of
    160 rows standardising makes 12.6, which a network follows to fit that row.
    (batch, numbers + codes) to (batch, numbers + sum of ``units``); a vector has by default 1.6 entries^0.56 units, at
    most 50 (Howard and Gugger 2020), and starts at 0, near which those of rare values stay. Without ``entries`` it
    learns from the first data frame which columns there are.
    dE = one_hot(code)^T dy.

    Parameters
    ----------
    entries : tuple of int
        Categories of each of the last columns, 0 not counted. (): learnt from the first data frame.
    units : tuple of int
        Length of the vectors of each; (): the default.
    initializer : str or Initializer
    trainable : bool

    Examples
    --------
    >>> import numpy as np
    >>> from portnn import NeuralNetwork, Tabular
    >>> net = NeuralNetwork(3, Tabular((5,)), 8, 1, seed=0, backend="numpy")  # two numbers and a code
    >>> net.predict(np.array([[0.5, 1.0, 3.0]])).shape
    (1, 1)
    """

    entries: tuple[int, ...] = ()
    units: tuple[int, ...] = ()
    initializer: str | Initializer = "zeros"
    trainable: bool = True

    def __post_init__(self) -> None:
        entries = tuple(check_positive_int("entries", n) for n in self.entries)
        given = tuple(check_positive_int("units", n) for n in self.units)
        units = given or tuple(min(50, round(1.6 * n**0.56)) for n in entries)
        if len(units) != len(entries):
            raise ArgumentError(f"units: expected one for each of {len(entries)} entries; got {len(units)}")
        object.__setattr__(self, "entries", entries)
        object.__setattr__(self, "units", units)

    def shapes(self, features: Features) -> Shapes:
        if len(features) != 1 or features[0] < len(self.entries):
            raise ShapeError(f"Tabular: expected (batch, numbers + {len(self.entries)} codes); got (batch, {features})")
        numbers = features[0] - len(self.entries)
        parameters = {
            f"{i}.E": Spec((entries, units), self.initializer)
            for i, (entries, units) in enumerate(zip(self.entries, self.units, strict=True))
        }
        return Shapes((numbers + sum(self.units),), parameters, super().shapes((numbers,)).buffers)

    def num_categories(self, columns: int) -> tuple[int, ...]:
        return tuple(entries + 1 for entries in self.entries)

    def preprocess(self, xp: Namespace, weights: Weights, x: Array) -> Array:
        numbers = x.shape[1] - len(self.entries)
        standardised = super().preprocess(xp, weights, x[:, :numbers])
        return xp.concat([standardised, x[:, numbers:]], axis=1) if self.entries else standardised

    def forward(self, xp: Namespace, weights: Weights, x: Array, context: ForwardContext) -> Forward:
        if not self.entries:
            return Forward(x, lambda dy: (dy, {}))
        numbers = x.shape[1] - len(self.entries)
        hot = [
            xp.astype(x[:, numbers + i : numbers + i + 1] == xp.arange(1, entries + 1, dtype=x.dtype), x.dtype)
            for i, entries in enumerate(self.entries)
        ]
        starts = list(accumulate(self.units, initial=numbers))
        y = xp.concat([x[:, :numbers], *(xp.matmul(one, weights[f"{i}.E"]) for i, one in enumerate(hot))], axis=1)

        def backward(dy: Array) -> tuple[None, dict[str, Array]]:
            pieces = [dy[:, start : start + units] for start, units in zip(starts, self.units, strict=False)]
            pairs = enumerate(zip(hot, pieces, strict=True))
            return None, {f"{i}.E": xp.matmul(xp.matrix_transpose(one), piece) for i, (one, piece) in pairs}

        return Forward(y, backward)

    def sample_input(self, rng: Any, shape: Features) -> Array:
        x = rng.standard_normal(shape)
        for i, entries in enumerate(self.entries, start=shape[1] - len(self.entries)):
            x[:, i] = rng.integers(0, entries + 1, shape[0])
        return x

    def from_statistics(self, statistics: Statistics) -> dict[str, Array]:
        numbers = statistics.mean.shape[0] - len(self.entries)
        mean, rest, std, binary = (each[:numbers] for each in statistics)
        return super().from_statistics(Statistics(mean * ~binary, rest * ~binary, std * ~binary + binary, binary))
