"""Validated data, and the batches that a training takes from them."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol

import numpy as np

from portnn.backend import Backend
from portnn.data.arrays import to_host
from portnn.data.memmap import MemmapRows
from portnn.errors import DataError
from portnn.io.tables import Names
from portnn.types import Array, Batch, Statistics

ROWS = 4096
"""Rows of one block: bounds the memory of float64 copies."""


class Block(NamedTuple):
    """Rows of one array on the host."""

    rows: np.ndarray
    """(rows, columns)."""
    weight: np.ndarray
    """(rows,)."""
    first: int
    """Number of the first row in the data."""


@dataclass(frozen=True)
class ValidatedData:
    """Arrays whose shapes and dtypes were checked. x has its original dtype, so that no digit is lost yet."""

    x: Array
    """(rows, \\*features), of NumPy or on the backend, of any dtype."""
    y: Array
    """On the backend: (rows, outputs) of the network's dtype, or int32 labels, (rows,)."""
    weight: np.ndarray | None
    """Sample weights as the user gave them, (rows,), float64."""
    columns: Names = None
    """Names of x's columns."""
    name: str = ""
    """Prefix of argument names in messages: "" or "validation "."""
    exact_y: Array | None = None
    """Regression targets in their original dtype, if that has more bits than the network's."""

    @property
    def rows(self) -> int:
        return int(self.x.shape[0])

    def take(self, backend: Backend, index: np.ndarray, name: str) -> "ValidatedData":
        """Return the rows of the given indices, under another name."""

        def take_rows(array: Array) -> Array:
            if isinstance(array, MemmapRows):
                return array.take(index)
            on_host = isinstance(array, np.ndarray)
            return array[index] if on_host else backend.xp.take(array, backend.asarray(index), axis=0)

        weight = None if self.weight is None else self.weight[index]
        exact_y = None if self.exact_y is None else take_rows(self.exact_y)
        return ValidatedData(take_rows(self.x), take_rows(self.y), weight, self.columns, name, exact_y)

    def blocks(self, backend: Backend, argument: str) -> Iterator[Block]:
        """Yield x or y (``argument``) in blocks of rows on the host, with weights scaled to a largest one of 1."""
        array = getattr(self, argument)
        array = array if isinstance(array, MemmapRows) else to_host(backend, array)
        weight = np.ones(self.rows) if self.weight is None else self.weight / (self.weight.max() or 1.0)
        for start in range(0, self.rows, ROWS):
            stop = min(start + ROWS, self.rows)
            # In C order: NumPy adds up the columns of an array in Fortran order in another order.
            rows = np.ascontiguousarray(array[start:stop])
            if rows.dtype.itemsize > 8:  # NumPy's long double has other bits on other processors
                rows = rows.astype(np.float64)
            yield Block(rows.reshape(stop - start, -1), weight[start:stop], start)

    def row_weights(self, mean: bool) -> np.ndarray | None:
        """Return the weights, (rows, 1); those of a mean loss are scaled to a mean of 1."""
        if self.weight is None:
            return None
        if not self.weight.any():
            raise DataError(
                f"sample_weight: expected a weight above 0 among the {self.name}rows; got 0 for all of them"
            )
        scaled = self.weight / self.weight.max()  # first, so that no sum of the weights overflows
        return (scaled / scaled.mean() if mean else self.weight)[:, None]


class Share(NamedTuple):
    """Which part of each batch a process takes, of several that train together; the first one of one takes all."""

    rank: int = 0
    ranks: int = 1

    def bounds(self, rows: int) -> tuple[int, int]:
        """Return the first row of the part, and the one after the last."""
        return rows * self.rank // self.ranks, rows * (self.rank + 1) // self.ranks


WHOLE = Share()


class DataSource(Protocol):
    """Protocol of what a training takes its batches from."""

    @property
    def of_labels(self) -> bool:
        """Whether the targets are labels of classes."""

    @property
    def rows(self) -> int | None:
        """Number of rows; None for a user's batches, which have their own sizes and order."""

    def steps(self, size: int) -> int | None:
        """Return the number of batches of ``size`` rows; None: unknown."""

    def batches(
        self, backend: Backend, size: int, order: Array | None, mean: bool, share: Share = WHOLE
    ) -> Iterator[Batch]:
        """Yield (x, y, weight) in rows of ``size``, in the order of the indices or as they stand.

        ``mean``: whether the weights of a batch are divided by its rows. ``share``: the part of each batch.
        """

    def sources(self) -> "Iterator[IndexedSource]":
        """Yield sources that together have the same rows, each of a known number of rows."""


class IndexedSource:
    """Base of sources with a known number of rows: y and weights are in memory, x is a subclass's."""

    y: Array
    weight: Array | None
    """One weight per row, (rows, 1), or None."""
    exact_y: Array | None
    """As ``ValidatedData.exact_y``."""

    def sources(self) -> "Iterator[IndexedSource]":
        """Yield itself."""
        yield self

    def batches(
        self, backend: Backend, size: int, order: Array | None, mean: bool, share: Share = WHOLE
    ) -> Iterator[Batch]:
        """Yield (x, y, weight) in rows of ``size``, in the order of the indices or as they stand."""
        raise NotImplementedError

    @property
    def rows(self) -> int:
        return int(self.y.shape[0])

    @property
    def of_labels(self) -> bool:
        return bool(self.y.ndim == 1)

    def steps(self, size: int) -> int:
        return -(-self.rows // size)

    def parts(
        self, backend: Backend, size: int, order: Array | None, mean: bool, share: Share = WHOLE
    ) -> Iterator[tuple[slice, Callable[[Array], Array], Array, Any]]:
        """Yield for each batch (slice of the order, function that takes its rows of an array, y, weight)."""
        for first in range(0, self.rows, size):
            rows_of_all = min(size, self.rows - first)
            start, stop = (first + bound for bound in share.bounds(rows_of_all))
            scale = 1.0 / rows_of_all if mean else 1.0

            def rows(array: Array, start: int = start, stop: int = stop) -> Array:
                return array[start:stop, ...] if order is None else backend.take_rows(array, order, start, stop)

            if self.weight is None:
                weight: Any = scale
            elif order is None:
                weight = self.weight[start:stop, ...] * scale
            else:
                weight = backend.xp.take(self.weight, order[start:stop], axis=0) * scale
            yield slice(start, stop), rows, rows(self.y), weight


@dataclass(frozen=True)
class Dataset(IndexedSource):
    """Arrays on one backend, preprocessed, in the network's dtype."""

    x: Array
    y: Array
    weight: Array | None
    exact_y: Array | None = None

    def batches(
        self, backend: Backend, size: int, order: Array | None, mean: bool, share: Share = WHOLE
    ) -> Iterator[Batch]:
        """Yield (x, y, weight) in rows of ``size``, in the order of the indices or as they stand."""
        for _, rows, y, weight in self.parts(backend, size, order, mean, share):
            yield rows(self.x), y, weight


def column_statistics(blocks: Callable[[], Iterable[Block]]) -> Statistics:
    """Return the statistics of each column, each row counted by its weight.

    Two passes over blocks of rows, in float64 on the host: every backend gets the same bits, and x is not copied as a
    whole. Raises DataError if every weight is 0.
    """
    origin, total, moved, binary = None, 0.0, 0.0, True
    for rows, weight, _ in blocks():
        binary = binary & np.all((rows == 0) | (rows == 1) | (weight[:, None] == 0), axis=0)
        if origin is None and weight.any():
            # Differences from a row with a weight: at an offset of 1e9 a sum of squares would lose the variation.
            origin = rows[int(np.argmax(weight > 0))].astype(np.float64)
        if origin is not None:
            total, moved = total + weight.sum(), moved + np.sum((rows - origin) * weight[:, None], axis=0)
    if origin is None:
        raise DataError("sample_weight: expected a weight above 0 among the rows; got 0 for all of them")
    shift = moved / total
    squares = sum(np.sum(((rows - origin) - shift) ** 2 * weight[:, None], axis=0) for rows, weight, _ in blocks())
    mean, variance = origin + shift, squares / total
    # Values that differ by a few units in the last place are a constant that was computed in several ways.
    constant = variance <= (4.0 * np.finfo(np.float64).eps * np.abs(mean)) ** 2
    fraction, exponent = np.frexp(mean)
    high = np.ldexp(np.round(np.ldexp(fraction, 24)), exponent - 24)
    return Statistics(high, mean - high, np.sqrt(np.where(constant, 1.0, variance)), binary)
