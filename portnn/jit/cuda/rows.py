"""Rows of an array on a device, chosen by indices, which a fused program reads as it starts."""

from typing import Any

from portnn.jit.graph import mapped
from portnn.types import Array, Namespace


class Rows:
    """The rows ``order[start:stop]`` of an array: an argument of a fused function in place of a copy of the rows."""

    __slots__ = ("dtype", "order", "shape", "source", "start")

    def __init__(self, source: Array, order: Array, start: int, stop: int) -> None:
        """``source``: (rows, \\*features), in C order. ``order``: int64 indices within its rows, in C order."""
        self.source, self.order, self.start = source, order, start
        self.shape: tuple[int, ...] = (stop - start, *source.shape[1:])
        self.dtype: Any = source.dtype

    @property
    def example(self) -> Array:
        """An array of the same shape and dtype."""
        return self.source[: self.shape[0]]

    def copied(self, xp: Namespace) -> Array:
        """Return a copy of the rows."""
        return xp.take(self.source, self.order[self.start : self.start + self.shape[0]], axis=0)


def copied(xp: Namespace, arguments: tuple[Any, ...]) -> tuple[Any, ...]:
    """Return arguments, nested tuples, with copies in the place of ``Rows``."""
    found = mapped(lambda leaf, path: leaf.copied(xp) if type(leaf) is Rows else leaf, arguments)
    return tuple(found)
