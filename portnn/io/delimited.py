"""CSV files: delimiter, decimal mark, header row, and columns of numbers."""

import codecs
import csv
import gzip
import os
import re
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from itertools import islice
from typing import IO

import numpy as np

from portnn.errors import ArgumentError, DataError
from portnn.io.categories import number, typed_cells
from portnn.io.header import is_header
from portnn.io.tables import Table

_COMMA = re.compile(r"\s*[+-]?\d*,\d+(?:[eE][+-]?\d+)?\s*")
"""A number with a decimal comma."""
_SWAPPED = str.maketrans(",.", ".,")
_POINT = re.compile(r"\s*[+-]?(?:\d+\.\d*|\.\d+)(?:[eE][+-]?\d+)?\s*")
SAMPLE = 1000
"""Number of rows that decide whether the first one names the columns."""
UTF8 = "utf-8-sig"
_COMMA_THOUSANDS = re.compile(r"[+-]?[1-9]\d{0,2}(?:(?:,\d{3})+\.\d+|(?:,\d{3}){2,})")
_POINT_THOUSANDS = re.compile(r"[+-]?[1-9]\d{0,2}(?:\.\d{3})+,\d+")
"""Numbers that show which of comma and point is the decimal mark."""
_WITH_COMMA = re.compile(r"[+-]?(?:\d{1,3}(?:\.\d{3})+(?:,\d*)?|\d*,\d+(?:[eE][+-]?\d+)?)")
"""A number with a decimal comma, or points between its thousands."""


@contextmanager
def _text(path: str | os.PathLike[str], encoding: str) -> Iterator[IO[str]]:
    """Open a text file, gzipped or not. Raises DataError if it is not text."""
    try:
        opened = gzip.open if str(path).endswith(".gz") else open
        with opened(path, "rt", newline="", encoding=encoding) as file:
            yield file
    except UnicodeDecodeError as error:
        name = "UTF-8" if encoding == UTF8 else encoding
        raise DataError(
            f"{path}: expected a CSV file of {name} text; {error}. --encoding (encoding=) names another: latin-1"
        ) from error
    except (csv.Error, gzip.BadGzipFile, EOFError, zlib.error) as error:
        raise DataError(f"{path}: expected a CSV file; {error}") from error


def _known_encoding(encoding: str) -> str:
    """Return an encoding's name; for UTF-8 the variant that skips a byte order mark."""
    try:
        name = codecs.lookup(encoding).name
        "".encode(name)
    except LookupError:
        raise ArgumentError(f"encoding: expected utf-8, latin-1, cp1252 ...; got {encoding!r}") from None
    return UTF8 if name == "utf-8" else name


def read_csv(path: str | os.PathLike[str], header: bool | None = None, encoding: str = UTF8) -> Table:
    """Read a CSV file (.gz too), separated by comma, semicolon or tab, as its first line tells.

    ``header=None``: decided by the first row and those below it (portnn/io/header.py).

    A column of numbers becomes float64, one of true and false bools; a column that holds anything else stays text,
    without blanks around it. In a file that is separated by semicolons or tabs ``1,5`` is 1.5; a file that has both 1,5
    and 1.5 is refused: it may mean thousands. Where 1.163,74 (or 1,163.74) says which mark is which, 1.163 is 1163 (or
    1.163). Such numbers become 1,163.74, texts that ``Encoding`` reads.

    ``encoding``: of the text, as Python names it: latin-1, cp1252.
    """
    encoding = _known_encoding(encoding)
    with _text(path, encoding) as file:
        delimiter = _delimiter(file.readline())

    def cells() -> Iterator[tuple[int, list[str]]]:
        with _text(path, encoding) as file:
            reader = csv.reader(file, delimiter=delimiter, skipinitialspace=True)
            for row in filter(None, reader):
                yield reader.line_num, [cell.strip() for cell in row]

    marked = {} if delimiter == "," else _decimal_mark(path, cells())

    def rows() -> Iterator[tuple[int, list[str]]]:
        return cells() if delimiter == "," else _plain(path, cells(), marked)

    first = next(rows(), (0, []))[1]
    if header is None:
        header = bool(first) and is_header(str(path), first, [row for _, row in islice(rows(), 1, SAMPLE)])
    names = first if header else [str(i) for i in range(len(first))]
    if len(set(names)) < len(names):
        raise DataError(f"{path}: expected different column names; got {max(names, key=names.count)!r} twice")
    body = partial(_body, rows, bool(header))
    if next(body(), None) is None:
        raise DataError(f"{path}: expected rows of data; got an empty file")
    plain = _numbers(path, encoding, delimiter, next(body())[0] - 1, names)
    columns = plain or _columns(path, body(), names)
    return Table(str(path), columns, bool(header), body, tuple(names), doubtful=delimiter != "," and not marked)


def _delimiter(line: str) -> str:
    """Return the delimiter of a file's first line: 1,5;2,5 has two numbers, although it has more commas."""
    for mark in ";\t":
        cells = line.split(mark)
        if len(cells) > 1 and all(number(cell) is not None or _COMMA.fullmatch(cell) for cell in cells):
            return mark
    return max(",;\t", key=line.count)


def _decimal_mark(path: str | os.PathLike[str], rows: Iterator[tuple[int, list[str]]]) -> dict[str, str]:
    """Return {decimal mark: the first number that shows it}; refuse a file with both."""
    marks: dict[str, str] = {}
    for line, row in rows:
        for cell in row:
            if cell.count(",") + cell.count(".") < 2:
                continue
            for mark, form in ((".", _COMMA_THOUSANDS), (",", _POINT_THOUSANDS)):
                if form.fullmatch(cell):
                    marks.setdefault(mark, cell)
        _refuse_both(path, line, marks)
    return marks


def _plain(
    path: str | os.PathLike[str], rows: Iterator[tuple[int, list[str]]], marked: dict[str, str]
) -> Iterator[tuple[int, list[str]]]:
    """Yield rows with decimal points in their numbers; ``marked``: the file's decimal mark, if known."""
    marks = dict(marked)
    with_comma = _WITH_COMMA if "," in marked else _COMMA
    for line, row in rows:
        plain = []
        for cell in row:
            comma = bool(with_comma.fullmatch(cell)) and not ("." in marked and number(cell) is not None)
            if comma or _POINT.fullmatch(cell):
                marks.setdefault("," if comma else ".", cell)
            plain.append(cell.translate(_SWAPPED) if comma else cell)
        _refuse_both(path, line, marks)
        yield line, plain


def _refuse_both(path: str | os.PathLike[str], line: int, marks: dict[str, str]) -> None:
    if len(marks) == 2:
        raise DataError(f"{path}, line {line}: expected one decimal mark; got both {marks[',']} and {marks['.']}")


def _body(rows: Callable[[], Iterator[tuple[int, list[str]]]], header: bool) -> Iterator[tuple[int, list[str]]]:
    return islice(rows(), int(header), None)


def _numbers(
    path: str | os.PathLike[str], encoding: str, delimiter: str, skip: int, names: list[str]
) -> dict[str, np.ndarray] | None:
    """Return the columns of a file of numbers, read by NumPy's C parser; None for other files.

    The parser has no decimal comma: a file with one is read as text.
    """
    with _text(path, encoding) as file:
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
        are_numbers = all("," not in cell and number(cell) is not None for cell in column)
        columns[name] = np.array(column).astype(np.float64) if are_numbers else typed_cells(column)
    return columns
