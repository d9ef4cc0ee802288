"""A vector stored as separate arrays, for a library that copies at each slice and concatenation."""

from collections.abc import Iterable, Sequence
from itertools import accumulate, pairwise
from typing import Any

import numpy as np


class SplitVector:
    """A vector stored as one array per parameter; as an array it is concatenated."""

    def __init__(self, parts: Iterable[Any]) -> None:
        self.parts = tuple(parts)

    @classmethod
    def of(cls, vector: Any, offsets: Sequence[int]) -> "SplitVector":
        """Return the arrays of a vector, split at the offsets."""
        return vector if is_split(vector) else cls([vector[i:j] for i, j in pairwise((0, *offsets))])

    shape = property(lambda self: (sum(part.shape[0] for part in self.parts),))
    dtype = property(lambda self: self.parts[0].dtype)

    def whole(self) -> Any:
        """Return the vector as one array of the parts' library."""
        return self.parts[0].__array_namespace__().concat(self.parts)

    __jax_array__ = whole

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        return np.concatenate([np.asarray(part) for part in self.parts]).astype(dtype or self.dtype, copy=False)

    def __getitem__(self, key: slice) -> Any:
        ends = pairwise((0, *accumulate(part.shape[0] for part in self.parts)))
        by_span = dict(zip(ends, self.parts, strict=True))
        part = by_span.get((key.start, key.stop))
        return self.whole()[key] if part is None else part


def is_split(leaf: object) -> bool:
    """Return whether an object is a SplitVector."""
    return isinstance(leaf, SplitVector)


def concatenate(leaf: Any) -> Any:
    """Return a SplitVector as one array, other objects unchanged."""
    return leaf.whole() if is_split(leaf) else leaf
