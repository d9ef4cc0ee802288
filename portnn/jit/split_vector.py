"""A vector that lies in memory in pieces, for a library that copies what is cut out of one or joined to one."""

from collections.abc import Iterable, Sequence
from itertools import accumulate, pairwise
from typing import Any

import numpy as np


class SplitVector:
    """A vector in pieces, one for each parameter; whoever takes it for an array gets it whole."""

    def __init__(self, pieces: Iterable[Any]) -> None:
        self.pieces = tuple(pieces)

    @classmethod
    def of(cls, vector: Any, offsets: Sequence[int]) -> "SplitVector":
        """Return the pieces of a vector that end at the offsets."""
        return vector if is_split(vector) else cls([vector[i:j] for i, j in pairwise((0, *offsets))])

    shape = property(lambda self: (sum(piece.shape[0] for piece in self.pieces),))
    dtype = property(lambda self: self.pieces[0].dtype)

    def whole(self) -> Any:
        """Return the vector as an array of the pieces' library."""
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
    """Return whether something is a vector in pieces."""
    return isinstance(leaf, SplitVector)


def concatenate(leaf: Any) -> Any:
    """Return a vector in pieces as an array, anything else as it is."""
    return leaf.whole() if is_split(leaf) else leaf
