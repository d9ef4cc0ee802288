"""Tables of named columns, and what a target column says of the task: classes and their codes."""

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import islice

import numpy as np

from portnn.errors import DataError

FEW_CLASSES = 20
"""A numeric target with at most this many distinct whole numbers is taken for class labels."""


def number(cell: str) -> float | None:
    """Return the number that a cell of text holds, or None: ``1_0``, which Python takes for ten, is text."""
    try:
        return None if "_" in cell else float(cell)
    except ValueError:
        return None


_PADDED = re.compile(r"[+-]?0\d")
"""Digits that are a name rather than a number: 007."""


@dataclass(frozen=True)
class Table:
    """Named columns of one length: numbers (float64, or as the file had them) or, in a CSV, text."""

    source: str
    columns: dict[str, np.ndarray]
    header: bool
    """Whether the names come from the file; otherwise they are "0", "1" ..."""
    cells: Callable[[], Iterator[tuple[int, list[str]]]] | None = None
    """Reads a CSV again: each row of data as text, with its line in the file."""

    @property
    def rows(self) -> int:
        return len(next(iter(self.columns.values())))

    def line(self, row: int) -> int:
        """Return the line in the file of a row, counted from 0."""
        return row + 1 + self.header if self.cells is None else next(islice(self.cells(), row, None))[0]

    def place(self, row: int) -> str:
        """Return where a row, counted from 0, is: its line in a CSV, else its number."""
        return f"line {self.line(row)}" if self.cells is not None else f"row {row}"

    def column(self, name: str) -> str:
        """Return the name of a column; without a header, negative numbers count from the end."""
        names = list(self.columns)
        if name in self.columns:
            return name
        if not self.header and name.lstrip("-").isdigit() and -len(names) <= int(name) < len(names):
            return names[int(name)]
        shown = ", ".join(names) if len(names) <= 12 else f"{', '.join(names[:6])}, ... {names[-1]}"
        raise DataError(f"{self.source}: expected one of the columns {shown}; got {name!r}")

    def numbers(self, names: list[str]) -> np.ndarray:
        """Return the named columns as (rows, columns); refuse text, missing cells, NaN and infinity."""
        for name in names:
            values = self.columns[self.column(name)]
            if values.dtype.kind == "U":
                row = next(i for i, cell in enumerate(values) if number(cell) is None)
                cell = "a missing cell" if not values[row].strip() else repr(str(values[row]))
                raise DataError(f"{self.source}, line {self.line(row)}, column {name!r}: expected a number; got {cell}")
            if values.dtype.kind not in "biuf":
                raise DataError(f"{self.source}, column {name!r}: expected real numbers; got dtype {values.dtype}")
            if values.dtype.kind == "f" and not np.all(np.isfinite(values)):
                row = int(np.argmin(np.isfinite(values)))
                place = f"{self.source}, line {self.line(row)}, column {name!r}"
                raise DataError(f"{place}: expected a finite number; got {values[row]}")
        return np.stack([self.columns[self.column(name)] for name in names], axis=1)

    def features(self, names: list[str]) -> np.ndarray:
        """Return the named columns as numbers; bytes (images) scaled to [0, 1]."""
        x = self.numbers(names)
        return x / np.float32(255) if x.dtype == np.uint8 else x

    def target(self, name: str) -> np.ndarray:
        """Return a column of numbers without gaps, or of texts that are all names of classes.

        Classes that are named by digits with zeros before them (007) stay texts.
        """
        column = self.column(name)
        values = self.columns[column]
        if values.dtype.kind != "U":
            self.numbers([column])
            if self.cells is not None and looks_like_classes(values)[0]:
                index = list(self.columns).index(column)
                texts = [row[index].strip() for _, row in self.cells()]
                if any(map(_PADDED.match, texts)):
                    return np.array(texts)
            return values
        numeric = sum(number(cell) is not None for cell in values)
        if numeric > len(values) / 2 or any(not cell.strip() for cell in values):
            self.numbers([column])  # raises: one cell among numbers is no number, or is missing
            raise DataError(f"{self.source}, column {column!r}: expected a value in every row; got a missing cell")
        return values


def looks_like_classes(values: np.ndarray) -> tuple[bool, str]:
    """Return whether a target holds class labels rather than numbers, and why, in words."""
    distinct = np.unique(values)
    if values.dtype.kind == "U":
        return True, f"{len(distinct)} different texts"
    if len(distinct) <= min(FEW_CLASSES, len(values) // 2) and np.all(distinct == np.round(distinct)):
        return True, f"{len(distinct)} different whole numbers"
    return False, f"{len(distinct)} different numbers"


def class_names(values: np.ndarray) -> list[str]:
    """Return the names of the classes in a target, in order: numbers as numbers, texts as texts."""
    return list(dict.fromkeys(_texts(np.unique(values))))


def class_codes(values: np.ndarray, names: list[str], source: str) -> np.ndarray:
    """Return each row's class as its position in ``names``, int32. Raises DataError for any other class."""
    position = {label: code for code, label in enumerate(names)}
    texts = _texts(values)
    unknown = [text for text in texts if text not in position]
    if unknown:
        raise DataError(f"{source}: expected the classes {', '.join(names[:12])}; got {unknown[0]!r}")
    return np.array([position[text] for text in texts], dtype=np.int32)


def _texts(values: np.ndarray) -> list[str]:
    if values.dtype.kind == "U":
        return [str(v).strip() for v in values]
    return [str(int(v)) if v == int(v) else repr(float(v)) for v in values.tolist()]
