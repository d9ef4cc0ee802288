"""Data that were checked, and the batches that training takes of them."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol

import numpy as np

from portnn.backend import Backend
from portnn.data.arrays import to_host
from portnn.data.memmap import MemmapRows
from portnn.errors import DataError
from portnn.io.tables import Names
from portnn.types import Array, Batch, Namespace, Statistics

ROWS = 4096
"""Rows of one block: bounds the memory of float64 copies."""


class Block(NamedTuple):
    """Some rows of one array on the host."""

    rows: np.ndarray
    """(rows, columns)."""
    weight: np.ndarray
    """(rows,)."""
    first: int
    """Place of the first row."""


@dataclass(frozen=True)
class ValidatedData:
    """Data whose shapes and kinds were checked: x as it came, so that nothing of it is lost yet."""

    x: Array
    """(rows, \\*features), of NumPy or on the backend, of any dtype."""
    y: Array
    """On the backend: (rows, outputs) of the network's dtype, or int32 labels, (rows,)."""
    weight: np.ndarray | None
    """Sample weights as they came, (rows,) in float64."""
    columns: Names = None
    """Names of x's columns."""
    name: str = ""
    """Before the names of arguments in messages: "" or "validation "."""
    exact_y: Array | None = None
    """Targets that are values, as they came, of NumPy or on the backend, where the network's dtype has fewer bits;
    (rows, outputs), or (rows,) for one."""

    @property
    def rows(self) -> int:
        return int(self.x.shape[0])

    def take(self, backend: Backend, index: np.ndarray, name: str) -> "ValidatedData":
        """Return the rows of the given indices, under another name."""

        def taken(array: Array) -> Array:
            if isinstance(array, MemmapRows):
                return array.take(index)
            on_host = isinstance(array, np.ndarray)
            return array[index] if on_host else backend.xp.take(array, backend.asarray(index), axis=0)

        weight = None if self.weight is None else self.weight[index]
        exact_y = None if self.exact_y is None else taken(self.exact_y)
        return ValidatedData(taken(self.x), taken(self.y), weight, self.columns, name, exact_y)

    def blocks(self, backend: Backend, what: str) -> Iterator[Block]:
        """Yield "x" or "y" in blocks of rows on the host; the largest weight counts 1."""
        array = getattr(self, what)
        array = array if isinstance(array, MemmapRows) else to_host(backend, array)
        weight = np.ones(self.rows) if self.weight is None else self.weight / (self.weight.max() or 1.0)
        for start in range(0, self.rows, ROWS):
            stop = min(start + ROWS, self.rows)
            # In one order in memory: NumPy adds columns of another in another order.
            rows = np.ascontiguousarray(array[start:stop])
            if rows.dtype.itemsize > 8:  # NumPy's long double: other bits on other processors
                rows = rows.astype(np.float64)
            yield Block(rows.reshape(stop - start, -1), weight[start:stop], start)

    def row_weights(self, mean: bool) -> np.ndarray | None:
        """Return the weights as (rows, 1), for a mean loss scaled to a mean of one over these rows."""
        if self.weight is None:
            return None
        if not self.weight.any():
            raise DataError(
                f"sample_weight: expected a weight above 0 among the {self.name}rows; got 0 for all of them"
            )
        scaled = self.weight / self.weight.max()  # first, so that no sum of them overflows
        return (scaled / scaled.mean() if mean else self.weight)[:, None]


class DataSource(Protocol):
    """Where training takes its batches from: arrays in memory (Dataset), or whatever else can give them in an order."""

    @property
    def of_labels(self) -> bool:
        """Whether the targets are labels of classes."""

    @property
    def rows(self) -> int | None:
        """How many rows there are; None: they come in batches of their own, in an order of their own."""

    def steps(self, size: int) -> int | None:
        """Return how many batches of ``size`` there are; None: nobody knows."""

    def batches(self, xp: Namespace, size: int, order: Array | None, mean: bool) -> Iterator[Batch]:
        """Yield (x, y, weight) in rows of ``size``, in the order of the indices or as they stand.

        ``mean``: whether the weights of a batch are divided by its rows.
        """

    def sources(self) -> "Iterator[IndexedSource]":
        """Yield the sources that it consists of, whose rows are known."""


class IndexedSource:
    """Base of the sources whose rows are known: targets and weights are in memory, x in whatever a subclass has."""

    y: Array
    weight: Array | None
    """One weight per row, (rows, 1), or None."""
    exact_y: Array | None
    """As ``ValidatedData`` has it."""

    def sources(self) -> "Iterator[IndexedSource]":
        """Yield itself."""
        yield self

    def batches(self, xp: Namespace, size: int, order: Array | None, mean: bool) -> Iterator[Batch]:
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
        self, xp: Namespace, size: int, order: Array | None, mean: bool
    ) -> Iterator[tuple[slice, Callable[[Array], Array], Array, Any]]:
        """Yield, for each batch: its place in the order, what takes its rows of an array, y and the weight."""
        for start in range(0, self.rows, size):
            place = slice(start, min(start + size, self.rows))
            scale = 1.0 / (place.stop - start) if mean else 1.0
            some = place if order is None else order[place]

            def rows(array: Array, some: Any = some) -> Array:
                return array[some, ...] if order is None else xp.take(array, some, axis=0)

            yield place, rows, rows(self.y), scale if self.weight is None else rows(self.weight) * scale


@dataclass(frozen=True)
class Dataset(IndexedSource):
    """A source of arrays on one backend, as the core takes them, in the network's dtype."""

    x: Array
    y: Array
    weight: Array | None
    exact_y: Array | None = None

    def batches(self, xp: Namespace, size: int, order: Array | None, mean: bool) -> Iterator[Batch]:
        """Yield (x, y, weight) in rows of ``size``, in the order of the indices or as they stand."""
        for _, rows, y, weight in self.parts(xp, size, order, mean):
            yield rows(self.x), y, weight


def column_statistics(blocks: Callable[[], Iterable[Block]]) -> Statistics:
    """Return the statistics of each column, each row counted by its weight.

    Two passes over blocks of rows, on the host: the same bits for every backend, and no float64 copy of x. Raises
    DataError where no row counts.
    """
    origin, total, moved, binary = None, 0.0, 0.0, True
    for rows, weight, _ in blocks():
        binary = binary & np.all((rows == 0) | (rows == 1) | (weight[:, None] == 0), axis=0)
        if origin is None and weight.any():
            # Seen from a row that counts: at an offset of 1e9 a sum of squares would lose what varies.
            origin = rows[int(np.argmax(weight > 0))].astype(np.float64)
        if origin is not None:
            total, moved = total + weight.sum(), moved + np.sum((rows - origin) * weight[:, None], axis=0)
    if origin is None:
        raise DataError("sample_weight: expected a weight above 0 among the rows; got 0 for all of them")
    shift = moved / total
    squares = sum(np.sum(((rows - origin) - shift) ** 2 * weight[:, None], axis=0) for rows, weight, _ in blocks())
    mean, variance = origin + shift, squares / total
    # What differs by a few units in the last place is a constant that was computed in several ways.
    constant = variance <= (4.0 * np.finfo(np.float64).eps * np.abs(mean)) ** 2
    fraction, exponent = np.frexp(mean)
    high = np.ldexp(np.round(np.ldexp(fraction, 24)), exponent - 24)
    return Statistics(high, mean - high, np.sqrt(np.where(constant, 1.0, variance)), binary)
