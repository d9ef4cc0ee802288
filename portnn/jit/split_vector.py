"""A vector stored as separate arrays, for a library that copies at each slice and concatenation."""

from collections.abc import Iterable, Sequence
from itertools import accumulate, pairwise
from typing import Any

import numpy as np


class SplitVector:
    """A vector stored as one array per parameter; as an array it is concatenated."""

    def __init__(self, pieces: Iterable[Any]) -> None:
        self.pieces = tuple(pieces)

    @classmethod
    def of(cls, vector: Any, offsets: Sequence[int]) -> "SplitVector":
        """Return the arrays of a vector, split at the offsets."""
        return vector if is_split(vector) else cls([vector[i:j] for i, j in pairwise((0, *offsets))])

    shape = property(lambda self: (sum(piece.shape[0] for piece in self.pieces),))
    dtype = property(lambda self: self.pieces[0].dtype)

    def whole(self) -> Any:
        """Return the vector as one array of the parts' library."""
        return self.pieces[0].__array_namespace__().concat(self.pieces)

    __jax_array__ = whole

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        return np.concatenate([np.asarray(piece) for piece in self.pieces]).astype(dtype or self.dtype, copy=False)

    def __getitem__(self, key: slice) -> Any:
        ends = pairwise((0, *accumulate(piece.shape[0] for piece in self.pieces)))
        known = dict(zip(ends, self.pieces, strict=True))
        piece = known.get((key.start, key.stop))
        return self.whole()[key] if piece is None else piece


def is_split(leaf: object) -> bool:
    """Return whether an object is a SplitVector."""
    return isinstance(leaf, SplitVector)


def concatenate(leaf: Any) -> Any:
    """Return a SplitVector as one array, other objects unchanged."""
    return leaf.whole() if is_split(leaf) else leaf
