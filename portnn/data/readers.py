"""Readers of data files: CSV (with a header or without), .npy, .npz and IDX, .gz too."""

import csv
import gzip
import math
import os
import re
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from itertools import islice
from pathlib import Path
from typing import IO

import numpy as np

from portnn.data.categories import number
from portnn.data.frames import typed_cells
from portnn.data.header import is_header
from portnn.data.tables import Table
from portnn.errors import DataError, SerializationError

_COMMA = re.compile(r"\s*[+-]?\d*,\d+(?:[eE][+-]?\d+)?\s*")
"""A number with a decimal comma."""
_POINT = re.compile(r"\s*[+-]?(?:\d+\.\d*|\.\d+)(?:[eE][+-]?\d+)?\s*")
SAMPLE = 1000
"""Rows from which it is told whether the first one names the columns."""
_IDX_TYPES = {8: ">u1", 9: ">i1", 11: ">i2", 12: ">i4", 13: ">f4", 14: ">f8"}


@contextmanager
def _text(path: str | os.PathLike[str]) -> Iterator[IO[str]]:
    """Open a text file, gzipped or not; DataError for what is no text."""
    try:
        opened = gzip.open if str(path).endswith(".gz") else open
        with opened(path, "rt", newline="", encoding="utf-8-sig") as file:
            yield file
    except (UnicodeDecodeError, csv.Error, gzip.BadGzipFile, EOFError, zlib.error) as error:
        raise DataError(f"{path}: expected a CSV file of UTF-8 text; {error}") from error


def read_csv(path: str | os.PathLike[str], header: bool | None = None) -> Table:
    """Read a CSV file (.gz too), separated by comma, semicolon or tab, as its first line tells.

    ``header=None``: told from the first row and those below it (portnn/data/header.py).

    A column of numbers becomes float64, one of true and false bools; a column that holds anything else stays text,
    without blanks around it. In a file that is separated by
    semicolons or tabs ``1,5`` is 1.5; a file that has both 1,5 and 1.5 is refused: it may mean thousands.
    """
    with _text(path) as file:
        delimiter = _delimiter(file.readline())

    def rows() -> Iterator[tuple[int, list[str]]]:
        marks = {",": "", ".": ""}
        with _text(path) as file:
            reader = csv.reader(file, delimiter=delimiter, skipinitialspace=True)
            for row in filter(None, reader):
                row = [cell.strip() for cell in row]
                if delimiter != ",":
                    _note_marks(marks, row, f"{path}, line {reader.line_num}")
                    row = [cell.replace(",", ".") if _COMMA.fullmatch(cell) else cell for cell in row]
                yield reader.line_num, row

    first = next(rows(), (0, []))[1]
    if header is None:
        header = bool(first) and is_header(str(path), first, [row for _, row in islice(rows(), 1, SAMPLE)])
    names = first if header else [str(i) for i in range(len(first))]
    if len(set(names)) < len(names):
        raise DataError(f"{path}: expected different column names; got {max(names, key=names.count)!r} twice")
    body = partial(_body, rows, bool(header))
    if next(body(), None) is None:
        raise DataError(f"{path}: expected rows of data; got an empty file")
    columns = _numbers(path, delimiter, next(body())[0] - 1, names) or _columns(path, body(), names)
    return Table(str(path), columns, bool(header), body, tuple(names))


def _delimiter(line: str) -> str:
    """Return what a file's first line is separated by: 1,5;2,5 has two numbers, whatever it has most of."""
    for mark in ";\t":
        cells = line.split(mark)
        if len(cells) > 1 and all(number(cell) is not None or _COMMA.fullmatch(cell) for cell in cells):
            return mark
    return max(",;\t", key=line.count)


def _note_marks(marks: dict[str, str], row: list[str], place: str) -> None:
    """Keep the first number with a decimal comma and the first with a point in ``marks``; refuse a file of both."""
    for mark, form in ((",", _COMMA), (".", _POINT)):
        marks[mark] = marks[mark] or next(filter(form.fullmatch, row), "")
    if all(marks.values()):
        raise DataError(f"{place}: expected one decimal mark; got both {marks[',']} and {marks['.']}")


def _body(rows: Callable[[], Iterator[tuple[int, list[str]]]], header: bool) -> Iterator[tuple[int, list[str]]]:
    return islice(rows(), int(header), None)


def _numbers(path: str | os.PathLike[str], delimiter: str, skip: int, names: list[str]) -> dict[str, np.ndarray] | None:
    """Return the columns of a file of numbers alone, by NumPy's reader, which is in C; None for any other.

    It takes no decimal comma: such a file is read as one of texts.
    """
    with _text(path) as file:
        try:
            values = np.loadtxt(file, delimiter=delimiter, skiprows=skip, comments=None, quotechar='"', ndmin=2)
        except ValueError:
            return None
    return dict(zip(names, values.T, strict=True)) if values.shape[1] == len(names) else None


def _columns(
    path: str | os.PathLike[str], body: Iterator[tuple[int, list[str]]], names: list[str]
) -> dict[str, np.ndarray]:
    """Return the columns of a file that holds texts, or that NumPy cannot read."""
    cells = []
    for line, row in body:
        if len(row) != len(names):
            raise DataError(f"{path}, line {line}: expected {len(names)} cells; got {len(row)}")
        cells.append(row)
    columns = {}
    for name, column in zip(names, zip(*cells, strict=True), strict=True):
        whole = all(number(cell) is not None for cell in column)
        columns[name] = np.array(column).astype(np.float64) if whole else typed_cells(column)
    return columns


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
