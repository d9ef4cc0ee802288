"""Data that do not fit into memory: rows of a memory-mapped array, read from the file as they are asked for.

While a batch is computed the system reads the next one (posix_fadvise). A thread of our own would do so too, and was
slower: for each row it waits for Python's lock, and it keeps a core from the products (benchmarks/mapped.py).
"""

import os
import weakref
from collections.abc import Iterator
from typing import Any

import numpy as np

from portnn.errors import DataError


def mapping_of(array: object) -> np.memmap | None:
    """Return the memory map under an array, also under a view of it; None for an array in memory and a masked array."""
    if isinstance(array, np.ma.MaskedArray):
        return None
    while isinstance(array, np.ndarray):
        if isinstance(array, np.memmap) and array._mmap is not None:  # type: ignore[attr-defined]
            return array
        array = array.base
    return None


def _file_of(array: np.ndarray) -> tuple[int, int] | None:
    """Return (file descriptor, offset of the first row) of rows that are contiguous in a file.

    None for other arrays, for a map that may have unwritten changes, and without a file.
    """
    import mmap

    root = mapping_of(array)
    if root is None or root.mode not in ("r", "r+") or not array.flags.c_contiguous or not hasattr(os, "preadv"):
        return None
    try:
        file = os.open(root.filename, os.O_RDONLY)  # type: ignore[arg-type]
    except (OSError, TypeError):
        return None
    base = np.frombuffer(root._mmap, np.uint8).ctypes.data  # type: ignore[attr-defined]
    if _inode_at(base) != os.fstat(file).st_ino:  # another file may have that name by now
        os.close(file)
        return None
    mapped_from = root.offset - root.offset % mmap.ALLOCATIONGRANULARITY
    return file, mapped_from + array.ctypes.data - base


def _inode_at(address: int) -> int | None:
    """Return the inode of the file that is mapped at an address; None if the system does not tell."""
    try:
        with open("/proc/self/maps") as maps:
            ranges = ((line.split(" ", 1)[0].split("-"), line.split()) for line in maps)
            return next(int(parts[4]) for (first, last), parts in ranges if int(first, 16) <= address < int(last, 16))
    except (OSError, StopIteration):
        return None


def _read(file: int, rows: np.ndarray, position: int) -> None:
    """Fill rows from a file. Raises DataError if the file has become shorter."""
    view: Any = memoryview(rows.reshape(-1).view(np.uint8))  # type: ignore[arg-type]
    while view:
        count = os.preadv(file, [view], position)
        if not count:
            raise DataError("x: expected the whole file of a memory map; it was cut off while it was read")
        view, position = view[count:], position + count


class MemmapRows:
    """Rows of a memory-mapped array, (rows, \\*features), or those of them that an index chooses.

    They are read from the file: pages that are read through the map would stay in the process.
    """

    def __init__(self, array: np.ndarray, index: np.ndarray | None = None, divisor: float | None = None) -> None:
        """Hold a memory-mapped array, the indices of its rows, and a divisor."""
        self._array, self._index, self._divisor = array, index, divisor
        self.rows = len(array) if index is None else len(index)
        self.shape, self.ndim, self.dtype = (self.rows, *array.shape[1:]), array.ndim, array.dtype
        self._file = _file_of(array)
        if self._file is not None:
            weakref.finalize(self, os.close, self._file[0])

    def __getitem__(self, rows: slice | np.ndarray) -> np.ndarray:
        """Return some rows as an array in memory."""
        chosen = self._chosen(rows)
        if self._file is None:
            rows_read = np.array(self._array[chosen])
        else:
            rows_read = np.empty((len(chosen), *self.shape[1:]), self.dtype)
            for first, last, position in self._runs(chosen):
                _read(self._file[0], rows_read[first:last], position)
        return rows_read if self._divisor is None else rows_read / np.float32(self._divisor)

    def readahead(self, rows: slice | np.ndarray) -> None:
        """Ask the system to read rows ahead, if it can."""
        if self._file is not None and hasattr(os, "posix_fadvise"):
            size = self._array.strides[0]
            for first, last, position in self._runs(self._chosen(rows)):
                os.posix_fadvise(self._file[0], position, (last - first) * size, os.POSIX_FADV_WILLNEED)

    def _chosen(self, rows: slice | np.ndarray) -> np.ndarray:
        chosen: np.ndarray = np.arange(self.rows)[rows] if self._index is None else self._index[rows]
        return chosen

    def _runs(self, chosen: np.ndarray) -> Iterator[tuple[int, int, int]]:
        """Yield (first, last, offset in the file) of each run of contiguous rows."""
        assert self._file is not None
        steps = (np.flatnonzero(np.diff(chosen) != 1) + 1).tolist()
        for first, last in zip([0, *steps], [*steps, len(chosen)], strict=True):
            if last > first:
                yield first, last, self._file[1] + int(chosen[first]) * self._array.strides[0]

    def take(self, index: np.ndarray) -> "MemmapRows":
        """Return some of the rows, without reading them."""
        return MemmapRows(self._array, index if self._index is None else self._index[index], self._divisor)

    def divided(self, divisor: float) -> "MemmapRows":
        """Return the rows divided by a number, in float32, without reading them."""
        return MemmapRows(self._array, self._index, divisor)

    def position(self, row: int) -> int:
        """Return the number of a row in the map."""
        return row if self._index is None else int(self._index[row])
