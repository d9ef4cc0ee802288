"""Readers of data files: CSV (with a header or without), .npy, .npz and IDX, .gz too."""

import csv
import gzip
import os
from pathlib import Path

import numpy as np

from portnn.data.tables import Table, number
from portnn.errors import DataError, SerializationError

_IDX_TYPES = {8: ">u1", 9: ">i1", 11: ">i2", 12: ">i4", 13: ">f4", 14: ">f8"}


def read_csv(path: str | os.PathLike[str], header: bool | None = None) -> Table:
    """Read a CSV file, separated by comma, semicolon or tab, whichever its first line has most of.

    ``header=None``: the first row is one if none of its cells is a number.

    A column of numbers becomes float64; a column that holds anything else stays text.
    """
    try:
        with open(path, newline="", encoding="utf-8-sig") as file:
            first = file.readline()
            file.seek(0)
            delimiter = max(",;\t", key=first.count)
            rows = [row for row in csv.reader(file, delimiter=delimiter, skipinitialspace=True) if row]
    except (UnicodeDecodeError, csv.Error) as error:
        raise DataError(f"{path}: expected a CSV file of UTF-8 text; {error}") from error
    if rows and header is None:
        header = all(number(cell) is None for cell in rows[0])
    if len(rows) <= bool(header):
        raise DataError(f"{path}: expected rows of data; got an empty file")
    names = [cell.strip() for cell in rows[0]] if header else [str(i) for i in range(len(rows[0]))]
    if len(set(names)) < len(names):
        raise DataError(f"{path}: expected different column names; got {max(names, key=names.count)!r} twice")
    body = rows[bool(header) :]
    for i, row in enumerate(body):
        if len(row) != len(names):
            raise DataError(f"{path}, row {i + 1 + bool(header)}: expected {len(names)} cells; got {len(row)}")
    columns = {}
    for name, cells in zip(names, zip(*body, strict=True), strict=True):
        text = np.array(cells)
        try:
            columns[name] = text.astype(np.float64)
        except ValueError:
            columns[name] = text
    return Table(str(path), columns, bool(header))


def read_idx(path: str | os.PathLike[str]) -> np.ndarray:
    """Read an IDX file (MNIST's format), gzipped or not: an array in the file's shape and dtype."""
    try:
        with gzip.open(path) if str(path).endswith(".gz") else open(path, "rb") as file:
            content = file.read()
    except (gzip.BadGzipFile, EOFError) as error:
        raise DataError(f"{path}: expected a gzipped IDX file; {error}") from error
    if len(content) < 4 or content[:2] != b"\0\0" or content[2] not in _IDX_TYPES:
        raise DataError(f"{path}: expected an IDX file; got another format")
    start = 4 + 4 * content[3]
    shape = tuple(int(n) for n in np.frombuffer(content[4:start], ">u4"))
    dtype = np.dtype(_IDX_TYPES[content[2]])
    if len(shape) != content[3] or len(content) != start + dtype.itemsize * int(np.prod(shape, dtype=np.int64)):
        raise DataError(f"{path}: expected {shape} values of {dtype.name}; got a truncated or longer file")
    return np.frombuffer(content, dtype, offset=start).reshape(shape).astype(dtype.newbyteorder("="))


def read_array(path: str | os.PathLike[str]) -> np.ndarray:
    """Read one array from .npy or IDX."""
    if not str(path).endswith(".npy"):
        return read_idx(path)
    try:
        return np.asarray(np.load(path, allow_pickle=False))
    except (ValueError, EOFError) as error:
        raise DataError(f"{path}: expected an array without pickled objects; {error}") from error


def _rows(source: str, array: np.ndarray) -> np.ndarray:
    if array.ndim == 0 or array.size == 0:
        raise DataError(f"{source}: expected rows of data; got an array of shape {array.shape}")
    return array.reshape(array.shape[0], -1)


def read_table(path: str | os.PathLike[str], header: bool | None = None) -> Table:
    """Read a data file of any kind as columns, by its ending.

    The columns of an .npz's two-dimensional array ``x`` are "x0", "x1" ..., its other arrays are columns by name;
    .npy and IDX have columns "0", "1" ... (images are flattened).
    """
    name = Path(path).name.removesuffix(".gz")
    if name.endswith(".npz"):
        return _read_npz(path)
    if name.endswith((".npy", "-ubyte", ".idx")):
        flat = _rows(str(path), read_array(path))
        return Table(str(path), {str(i): flat[:, i] for i in range(flat.shape[1])}, header=False)
    return read_csv(path, header)


def _read_npz(path: str | os.PathLike[str]) -> Table:
    import zipfile

    try:
        with np.load(path, allow_pickle=False) as file:
            arrays = {key: np.asarray(file[key]) for key in file.files}
    except (ValueError, EOFError, OSError, zipfile.BadZipFile) as error:
        if isinstance(error, FileNotFoundError):
            raise
        raise SerializationError(f"{path}: expected arrays without pickled objects; {error}") from error
    columns: dict[str, np.ndarray] = {}
    for key, array in arrays.items():
        flat = _rows(f"{path}[{key}]", array)
        if array.ndim == 1:
            columns[key] = array
        else:
            columns |= {f"{key}{i}": flat[:, i] for i in range(flat.shape[1])}
    if len({len(column) for column in columns.values()}) != 1:
        raise DataError(
            f"{path}: expected arrays with one number of rows; got { ({k: a.shape for k, a in arrays.items()}) }"
        )
    return Table(str(path), columns, header=True)
