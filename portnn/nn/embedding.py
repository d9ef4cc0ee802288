"""First layers with trainable vectors (embeddings) for integers: ``Embedding``, and ``Tabular`` for tables."""

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import accumulate
from typing import Any, ClassVar

from portnn.deprecated import RenamedMembers
from portnn.errors import ArgumentError, ShapeError
from portnn.nn.initializers import Initializer, check
from portnn.nn.layer import Features, PreprocessingLayer, Shapes, Spec
from portnn.nn.preprocessing import Standardize
from portnn.options import check_positive_int
from portnn.types import Array, Forward, ForwardContext, Namespace, Statistics, Weights


@dataclass(frozen=True)
class Embedding(RenamedMembers, PreprocessingLayer):
    """A trainable vector for each index: (batch, columns) of int32 to (batch, columns, ``embedding_dim``).

    The layer is the first one; ``Flatten`` follows before a ``Dense``. An index out of range is refused where values
    are checked, and gives infinity or NaN where they are not (``step``). The gradient is dE = one_hot(x)^T dy, which is
    the same sum on every library; their scatter operations differ.

    Parameters
    ----------
    num_embeddings : int
        Number of vectors: indices are 0 to ``num_embeddings`` - 1.
    embedding_dim : int
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

    num_embeddings: int
    embedding_dim: int
    initializer: str | Initializer = "normal"
    trainable: bool = True
    input_dtype: ClassVar[str] = "int32"
    _renamed: ClassVar[Mapping[str, str]] = {"entries": "num_embeddings", "units": "embedding_dim"}
    _renamed_options = _renamed

    def __post_init__(self) -> None:
        check_positive_int("num_embeddings", self.num_embeddings)
        check_positive_int("embedding_dim", self.embedding_dim)
        check(self.initializer)

    def num_categories(self, columns: int) -> tuple[int, ...]:
        return (self.num_embeddings,) * columns

    def shapes(self, features: Features) -> Shapes:
        table = Spec((self.num_embeddings, self.embedding_dim), self.initializer)
        return Shapes((*features, self.embedding_dim), {"E": table})

    def forward(self, xp: Namespace, weights: Weights, x: Array, context: ForwardContext) -> Forward:
        table = weights["E"]
        indices = xp.reshape(x, (-1,))
        in_range = (indices > -1) & (indices < self.num_embeddings)
        rows = indices * xp.astype(in_range, indices.dtype)
        y = xp.take(table, rows, axis=0) * xp.expand_dims(1.0 / xp.astype(in_range, table.dtype), axis=1)

        def backward(dy: Array) -> tuple[None, dict[str, Array]]:
            numbers = xp.arange(self.num_embeddings, dtype=indices.dtype)
            one_hot = xp.astype(xp.expand_dims(rows, axis=1) == numbers, table.dtype)
            return None, {"E": xp.matmul(xp.matrix_transpose(one_hot), xp.reshape(dy, (-1, self.embedding_dim)))}

        return Forward(xp.reshape(y, (*x.shape, self.embedding_dim)), backward)

    def sample_input(self, rng: Any, shape: Features) -> Array:
        return rng.integers(0, self.num_embeddings, shape)


@dataclass(frozen=True)
class Tabular(RenamedMembers, Standardize):
    """Standardize for tables: each category of a text column with many values has a trainable vector (an embedding).

    The input is (batch, numbers + codes), the output (batch, numbers + sum of ``embedding_dims``). The last columns are
    codes, one column for each member of ``num_embeddings``: whole numbers from 0 to that member. Code 0 (a value that
    training saw once or never) has the zero vector; other numbers are refused as ``Embedding``'s are.

    The columns before the codes are standardised. A column of 0 and 1 alone (a one-hot category, a flag for missing
    values) passes unchanged: standardised, a 1 in 1 of 160 rows would be 12.6, and the network would fit that row.

    A vector of n categories has by default 1.6 n^0.56 elements, at most 50 (Howard and Gugger 2020). The vectors start
    at 0, and those of rare categories stay near 0. Without ``num_embeddings`` the layer takes the columns from the
    first data frame. The gradient is dE = one_hot(code)^T dy.

    Parameters
    ----------
    num_embeddings : tuple of int
        Categories of each of the last columns, code 0 not counted. (): those of the first data frame.
    embedding_dims : tuple of int
        Length of each column's vectors. (): the default.
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

    num_embeddings: tuple[int, ...] = ()
    embedding_dims: tuple[int, ...] = ()
    initializer: str | Initializer = "zeros"
    trainable: bool = True
    _renamed: ClassVar[Mapping[str, str]] = {"entries": "num_embeddings", "units": "embedding_dims"}
    _renamed_options = _renamed

    def __post_init__(self) -> None:
        sizes = tuple(check_positive_int("num_embeddings", n) for n in self.num_embeddings)
        dims = tuple(check_positive_int("embedding_dims", n) for n in self.embedding_dims)
        dims = dims or tuple(min(50, round(1.6 * n**0.56)) for n in sizes)
        if len(dims) != len(sizes):
            raise ArgumentError(f"embedding_dims: expected one for each of {len(sizes)} columns; got {len(dims)}")
        object.__setattr__(self, "num_embeddings", sizes)
        object.__setattr__(self, "embedding_dims", dims)

    def shapes(self, features: Features) -> Shapes:
        codes = len(self.num_embeddings)
        if len(features) != 1 or features[0] < codes:
            raise ShapeError(f"Tabular: expected (batch, numbers + {codes} codes); got (batch, {features})")
        numbers = features[0] - codes
        parameters = {
            f"{i}.E": Spec(shape, self.initializer)
            for i, shape in enumerate(zip(self.num_embeddings, self.embedding_dims, strict=True))
        }
        return Shapes((numbers + sum(self.embedding_dims),), parameters, super().shapes((numbers,)).buffers)

    def num_categories(self, columns: int) -> tuple[int, ...]:
        return tuple(size + 1 for size in self.num_embeddings)

    def preprocess(self, xp: Namespace, weights: Weights, x: Array) -> Array:
        numbers = x.shape[1] - len(self.num_embeddings)
        standardised = super().preprocess(xp, weights, x[:, :numbers])
        return xp.concat([standardised, x[:, numbers:]], axis=1) if self.num_embeddings else standardised

    def forward(self, xp: Namespace, weights: Weights, x: Array, context: ForwardContext) -> Forward:
        if not self.num_embeddings:
            return Forward(x, lambda dy: (dy, {}))
        numbers = x.shape[1] - len(self.num_embeddings)
        one_hot = [
            xp.astype(x[:, numbers + i : numbers + i + 1] == xp.arange(1, size + 1, dtype=x.dtype), x.dtype)
            for i, size in enumerate(self.num_embeddings)
        ]
        starts = list(accumulate(self.embedding_dims, initial=numbers))
        y = xp.concat([x[:, :numbers], *(xp.matmul(a, weights[f"{i}.E"]) for i, a in enumerate(one_hot))], axis=1)

        def backward(dy: Array) -> tuple[None, dict[str, Array]]:
            gradients = [dy[:, start : start + dim] for start, dim in zip(starts, self.embedding_dims, strict=False)]
            pairs = enumerate(zip(one_hot, gradients, strict=True))
            return None, {f"{i}.E": xp.matmul(xp.matrix_transpose(a), da) for i, (a, da) in pairs}

        return Forward(y, backward)

    def sample_input(self, rng: Any, shape: Features) -> Array:
        x = rng.standard_normal(shape)
        for i, size in enumerate(self.num_embeddings, start=shape[1] - len(self.num_embeddings)):
            x[:, i] = rng.integers(0, size + 1, shape[0])
        return x

    def from_statistics(self, statistics: Statistics) -> dict[str, Array]:
        numbers = statistics.mean.shape[0] - len(self.num_embeddings)
        mean, mean_low, std, binary = (statistic[:numbers] for statistic in statistics)
        return super().from_statistics(Statistics(mean * ~binary, mean_low * ~binary, std * ~binary + binary, binary))
