"""Readers of data files: CSV (delimited.py), .npy, .npz and IDX, .gz too."""

import gzip
import math
import os
import zlib
from pathlib import Path

import numpy as np

from portnn.errors import DataError, SerializationError
from portnn.io.delimited import UTF8, read_csv
from portnn.io.tables import Table

_IDX_TYPES = {8: ">u1", 9: ">i1", 11: ">i2", 12: ">i4", 13: ">f4", 14: ">f8"}


def read_idx(path: str | os.PathLike[str]) -> np.ndarray:
    """Read an IDX file (MNIST's format), gzipped or not: an array in the file's shape and dtype."""
    try:
        with gzip.open(path) if str(path).endswith(".gz") else open(path, "rb") as file:
            content = file.read()
    except (gzip.BadGzipFile, EOFError, zlib.error) as error:
        raise DataError(f"{path}: expected a gzipped IDX file; {error}") from error
    if len(content) < 4 or content[:2] != b"\0\0" or content[2] not in _IDX_TYPES:
        raise DataError(f"{path}: expected an IDX file; got another format")
    start = 4 + 4 * content[3]
    shape = tuple(int(n) for n in np.frombuffer(content[4:start], ">u4"))
    dtype = np.dtype(_IDX_TYPES[content[2]])
    if len(shape) != content[3] or len(content) != start + dtype.itemsize * math.prod(shape):
        raise DataError(f"{path}: expected {shape} values of {dtype.name}; got a truncated or longer file")
    return np.frombuffer(content, dtype, offset=start).reshape(shape).astype(dtype.newbyteorder("="))


def read_array(path: str | os.PathLike[str]) -> np.ndarray:
    """Read one array from .npy or IDX."""
    if not str(path).endswith(".npy"):
        return read_idx(path)
    try:
        with open(path, "rb") as file:
            return np.asarray(np.load(file, allow_pickle=False))
    except Exception as error:  # a damaged header may raise nearly anything
        if isinstance(error, OSError) and error.errno is not None:
            raise
        raise DataError(f"{path}: expected an array without pickled objects; {error}") from error


def _rows(source: str, array: np.ndarray) -> np.ndarray:
    if array.ndim == 0 or array.size == 0:
        raise DataError(f"{source}: expected rows of data; got an array of shape {array.shape}")
    return array.reshape(array.shape[0], -1)


def read_table(path: str | os.PathLike[str], header: bool | None = None, encoding: str | None = None) -> Table:
    """Read a data file of any kind as columns, by its ending; ``header`` and ``encoding`` are a CSV's.

    The columns of an .npz's two-dimensional array ``x`` are "x0", "x1" ..., its other arrays are columns by name;
    .npy and IDX have columns "0", "1" ... (images are flattened).
    """
    name = Path(path).name.removesuffix(".gz")
    if name.endswith(".npz"):
        return _read_npz(path)
    if name.endswith((".npy", "-ubyte", ".idx")):
        rows = _rows(str(path), read_array(path))
        return Table(str(path), {str(i): rows[:, i] for i in range(rows.shape[1])}, header=False)
    return read_csv(path, header, encoding or UTF8)


def _read_npz(path: str | os.PathLike[str]) -> Table:
    try:
        # Opened here: NumPy leaves a damaged one open.
        with open(path, "rb") as content, np.load(content, allow_pickle=False) as file:
            arrays = {key: np.asarray(file[key]) for key in file.files}
    except Exception as error:  # a damaged archive may raise nearly anything
        if isinstance(error, FileNotFoundError | PermissionError):
            raise
        raise SerializationError(f"{path}: expected arrays without pickled objects; {error}") from error
    columns: dict[str, np.ndarray] = {}
    for key, array in arrays.items():
        rows = _rows(f"{path}[{key}]", array)
        if array.ndim == 1:
            columns[key] = array
        else:
            columns |= {f"{key}{i}": rows[:, i] for i in range(rows.shape[1])}
    if len({len(column) for column in columns.values()}) != 1:
        raise DataError(
            f"{path}: expected arrays with one number of rows; got { ({k: a.shape for k, a in arrays.items()}) }"
        )
    return Table(str(path), columns, header=True)
