"""Tables of named columns, as a file or a data frame holds them."""

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import islice

import numpy as np

from portnn.errors import DataError
from portnn.io.categories import MISSING, number

FEW_CLASSES = 20
"""A target of numbers with at most this many distinct whole numbers is taken for class labels."""
_ONE_MARK = re.compile(r"[+-]?[1-9]\d{0,2}\.\d{3}")
_PADDED = re.compile(r"[+-]?0\d")
"""Digits with a leading zero, which are a name rather than a number: 007."""

Names = tuple[str, ...] | None
"""Names of columns, or None."""


@dataclass(frozen=True)
class Table:
    """Named columns of one length: numbers, bools, datetime64, texts ("": missing), or labels as objects."""

    source: str
    columns: dict[str, np.ndarray]
    header: bool
    """Whether the names come from the data; else they are "0", "1" ..."""
    cells: Callable[[], Iterator[tuple[int, list[str]]]] | None = None
    """Reads the CSV again: yields (line number, cells as text) of each row."""
    fields: tuple[str, ...] = ()
    """Names of the CSV's columns, in the file's order."""
    index: np.ndarray | None = None
    """Numbers of the rows in the file; None: all rows."""
    zoned: frozenset[str] = frozenset()
    """Columns whose times have a time zone, converted to UTC."""
    doubtful: bool = False
    """Whether 1.163 may mean 1163: the delimiter is a semicolon or tab, and no 1.163,74 shows the decimal mark."""

    @property
    def rows(self) -> int:
        return len(next(iter(self.columns.values())))

    def __len__(self) -> int:
        return self.rows

    def take(self, rows: np.ndarray) -> "Table":
        """Return some of the rows."""
        columns = {name: values[rows] for name, values in self.columns.items()}
        return replace(self, columns=columns, index=rows if self.index is None else self.index[rows])

    def select(self, names: Sequence[str]) -> "Table":
        """Return some of the columns."""
        return replace(self, columns={name: self.columns[name] for name in names})

    def _file_row(self, row: int) -> int:
        return row if self.index is None else int(self.index[row])

    def line(self, row: int) -> int:
        """Return the line of a row in the file; rows count from 0."""
        row = self._file_row(row)
        return row + 1 + self.header if self.cells is None else next(islice(self.cells(), row, None))[0]

    def location_of(self, row: int) -> str:
        """Return where a row is, for messages: its line in a CSV, else its number; rows count from 0."""
        return f"line {self.line(row)}" if self.cells is not None else f"row {self._file_row(row)}"

    def texts(self, name: str) -> np.ndarray:
        """Return a column's cells as texts of the CSV, (rows,), stripped; without a CSV the column itself."""
        if self.cells is None or self.columns[name].dtype.kind == "U":
            return self.columns[name]
        field = self.fields.index(name)
        texts = np.array([row[field].strip() for _, row in self.cells()])
        return texts if self.index is None else texts[self.index]

    def refuse_doubtful_thousands(self, name: str, known: str) -> None:
        """Refuse 1.163 in a column with marked thousands (as ``known`` has), in a file where it may mean 1163."""
        texts = self.texts(name).tolist() if self.doubtful else []
        row = next((i for i, text in enumerate(texts) if _ONE_MARK.fullmatch(str(text))), None)
        if row is not None:
            raise DataError(
                f"{self.source}, {self.location_of(row)}, column {name!r}: expected numbers with marked thousands, "
                f"as {known}; got {texts[row]}, of which nothing in the file says whether its mark is a decimal one"
            )

    def column(self, name: str) -> str:
        """Return the name of a column; -1 is the last one, unless that is a name."""
        names = list(self.columns)
        if name in self.columns:
            return name
        digits = name.removeprefix("-").isdigit()
        if digits and -len(names) <= int(name) < (0 if self.header else len(names)):
            return names[int(name)]
        shown = ", ".join(names) if len(names) <= 12 else f"{', '.join(names[:6])}, ... {names[-1]}"
        raise DataError(f"{self.source}: expected one of the columns {shown}; got {name!r}")

    def numbers(self, names: Sequence[str]) -> np.ndarray:
        """Return the named columns as (rows, columns). Raises DataError for text, missing cells, NaN and infinity."""
        for name in names:
            values = self.columns[self.column(name)]
            if values.dtype.kind == "U":
                row = next((i for i, cell in enumerate(values) if number(cell) is None), None)
                if row is None:
                    continue
                cell = "a missing cell" if not values[row].strip() else repr(str(values[row]))
                raise DataError(
                    f"{self.source}, {self.location_of(row)}, column {name!r}: expected a number; got {cell}"
                )
            if values.dtype.kind not in "biuf":
                raise DataError(f"{self.source}, column {name!r}: expected real numbers; got dtype {values.dtype}")
            if values.dtype.kind == "f" and not np.all(np.isfinite(values)):
                row = int(np.argmin(np.isfinite(values)))
                location = f"{self.source}, {self.location_of(row)}, column {name!r}"
                raise DataError(f"{location}: expected a finite number; got {values[row]}")
        columns = [self.columns[self.column(name)] for name in names]
        return np.stack([[number(cell) for cell in c] if c.dtype.kind == "U" else c for c in columns], axis=1)

    def missing(self, name: str) -> np.ndarray:
        """Return the mask of missing values of a column, (rows,) bools; in a target "none" may be a class."""
        values = self.columns[name]
        if values.dtype.kind == "U":
            return np.isin(np.char.lower(np.char.strip(values)), list(MISSING - {"none"}))
        missing: np.ndarray = np.zeros(len(values), bool)
        if values.dtype.kind in "fM":
            missing = np.isnan(values) if values.dtype.kind == "f" else np.isnat(values)
        return missing

    def labels(self, name: str) -> np.ndarray:
        """Return a column as labels, (rows,) objects: whole numbers exactly, others as numbers; texts as in the file.

        Digits with zeros before them (007) that name few classes stay texts, and so does what the reader took for
        bools. Raises DataError for a text in a column of which most are numbers.
        """
        values = self.columns[name]
        if values.dtype.kind == "U" and 2 * sum(number(cell) is not None for cell in values.tolist()) > len(values):
            values = self.numbers([name])[:, 0]
        if values.dtype.kind == "b":
            values = self.texts(name)
        if values.dtype.kind != "f":
            return values.astype(object)
        if not np.all(np.isfinite(values) & (values == np.round(values))):
            return values.astype(object)
        few_classes, exact = len(np.unique(values)) <= FEW_CLASSES, np.abs(values).max() < 2.0**53
        texts = self.texts(name) if self.cells is not None and (few_classes or not exact) else np.array([""])
        if few_classes and any(map(_PADDED.match, texts.tolist())):
            return texts.astype(object)
        digits = not exact and all(text.lstrip("+-").isdigit() for text in texts.tolist())
        return np.array([int(value) for value in (texts if digits else values).tolist()], object)
