"""Data that do not fit into memory: rows of a memory-mapped array, read as they are asked for, a batch ahead."""

import mmap
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any

import numpy as np

from portnn.errors import DataError
from portnn.types import Array, Batch, Namespace

_KEPT = 4 << 20
"""Bytes that are read before the pages of a map are given back: with one row the system maps 64 KiB around it."""


def mapping_of(array: object) -> np.memmap | None:
    """Return the memory map that an array shows, of whatever shape and slices; None for an array in memory."""
    while isinstance(array, np.ndarray):
        if isinstance(array, np.memmap) and isinstance(array._mmap, mmap.mmap):  # type: ignore[attr-defined]
            return array
        array = array.base
    return None


class Mapped:
    """Rows of a memory-mapped array, (rows, \\*features), or of those that an index chooses among them."""

    def __init__(self, array: np.ndarray, index: np.ndarray | None = None) -> None:
        """Take an array that shows a memory map, and which of its rows count."""
        self._array, self._index = array, index
        self.rows = len(array) if index is None else len(index)
        self.shape, self.ndim, self.dtype = (self.rows, *array.shape[1:]), array.ndim, array.dtype
        map_of = mapping_of(array)
        # In a map that may be written to without reaching the file, pages that are given back lose what was written.
        giving = map_of is not None and map_of.mode in ("r", "r+") and hasattr(mmap, "MADV_DONTNEED")
        self._mmap: Any = map_of._mmap if map_of is not None and giving else None  # type: ignore[attr-defined]
        self._read = 0

    def __getitem__(self, rows: slice | np.ndarray | int) -> np.ndarray:
        """Return rows as an array in memory, and now and then give the pages back that they were on."""
        found = np.array(self._array[rows if self._index is None else self._index[rows]])
        self._read += found.nbytes
        if self._mmap is not None and self._read > _KEPT:
            self._mmap.madvise(mmap.MADV_DONTNEED)
            self._read = 0
        return found

    def take(self, index: np.ndarray) -> "Mapped":
        """Return some of the rows, unread."""
        return Mapped(self._array, index if self._index is None else self._index[index])

    def place(self, row: int) -> int:
        """Return which row of the map a row is."""
        return row if self._index is None else int(self._index[row])


@dataclass(frozen=True)
class Streamed:
    """A source of mapped rows: each batch is read, cast and checked in a thread while the one before it is computed."""

    x: Mapped
    y: Array
    weight: Array | None
    enter: Callable[[np.ndarray], Array]
    """From rows on the host to those that the core takes; refuses what is not finite."""
    to_numpy: Callable[[Array], np.ndarray]
    scope: Callable[[], AbstractContextManager[Any]]
    """The context of the library, which each thread enters for itself."""

    @property
    def rows(self) -> int:
        return self.x.rows

    def batches(self, xp: Namespace, size: int, order: Array | None, mean: bool) -> Iterator[Batch]:
        """Yield (x, y, weight) in rows of ``size``, in the order of the indices or as they stand."""
        places = None if order is None else self.to_numpy(order)

        def read(start: int) -> Batch:
            stop = min(start + size, self.rows)
            scale = 1.0 / (stop - start) if mean else 1.0

            def rows(array: Array) -> Array:
                return array[start:stop, ...] if order is None else xp.take(array, order[start:stop], axis=0)

            chosen = np.arange(start, stop) if places is None else places[start:stop]
            with self.scope():
                x = self._entered(self.x[slice(start, stop) if places is None else chosen], chosen)
                return x, rows(self.y), scale if self.weight is None else rows(self.weight) * scale

        with ThreadPoolExecutor(1, "portnn-read") as pool:
            coming = pool.submit(read, 0)
            for start in range(size, self.rows + size, size):
                batch = coming.result()
                if start < self.rows:
                    coming = pool.submit(read, start)
                yield batch

    def _entered(self, x: np.ndarray, rows: np.ndarray) -> Array:
        try:
            return self.enter(x)
        except DataError:
            for i, row in enumerate(rows.tolist()):
                try:
                    self.enter(x[i : i + 1])
                except DataError as error:
                    raise DataError(str(error).replace("row 0", f"row {self.x.place(row)}", 1)) from None
            raise
