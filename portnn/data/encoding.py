"""From columns as they are (numbers with gaps, texts, dates) to features: learnt in training, kept with the network.

A gap becomes the median, or the most frequent text, and a feature of its own says that there was one. A text becomes a
feature for each value (one-hot); a value that was never seen, or seldom, counts as the average row, so that it speaks
for none. A text of many values becomes a code, for a layer that gives each a vector (``Tabular``), where there is one.
Dates become days since 1970.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from portnn.data.tables import Table, number
from portnn.errors import DataError

MISSING = frozenset(("", "?", "na", "n/a", "#n/a", "nan", "-nan", "null", "none", "<na>"))
"""Cells, in small letters, that say that there is no value."""
MANY, FEW, CODES = 40, 10, 1000
"""Values of a text column that have a feature; of more, the most frequent ones, or as many CODES. Beyond a FEW, none
has one where they differ in most rows."""
_DATE = re.compile(r"\d{4}-\d\d-\d\d(?:[ T]\d\d:\d\d(?::\d\d(?:\.\d+)?)?)?")
_DAY = np.timedelta64(1, "D")


Place = Callable[[int], str]
"""Says for a row where in the user's data it is."""


@dataclass(frozen=True)
class Column:
    """How one column becomes features."""

    name: str
    kind: str
    """number, date or text."""
    gaps: bool
    """Whether a feature says where it had none."""
    fill: float = 0.0
    """Median of a number or a date."""
    values: tuple[str, ...] = ()
    """Of a text, the most frequent first."""
    shares: tuple[float, ...] = ()
    """Of the rows, how many had each of them."""
    coded: bool = False
    """Whether a text becomes a code: its place among the values, from 1, or 0 for any other."""

    @classmethod
    def learnt(cls, name: str, cells: np.ndarray, place: Place, embed: bool = False) -> "Column":
        """Learn from cells, (rows,): numbers (NaN: missing), texts or datetime64; to ``embed`` texts of many values.

        Raises DataError.
        """
        kind, values, missing = _read(cells, None, place)
        gaps = bool(missing.any())
        if missing.all():
            return cls(name, "text", gaps)
        if kind != "text":
            return cls(name, kind, gaps, float(np.median(values[~missing])))
        found, counts = np.unique(values[~missing], return_counts=True)
        if len(found) > max(counts.sum() / 2, FEW):
            return cls(name, kind, gaps)
        order = np.argsort(-counts, kind="stable")
        coded = embed and len(found) > MANY
        order = order[counts[order] > 1][:CODES] if coded else order[:MANY]
        shares = () if coded else (counts[order] / counts.sum()).tolist()
        return cls(name, kind, gaps, 0.0, tuple(found[order].tolist()), tuple(shares), coded)

    @property
    def speaks(self) -> bool:
        """Whether it is worth its features: not a text that is another one in most rows, or the same in all."""
        return self.kind != "text" or self.gaps or len(self.values) > 1

    @property
    def features(self) -> list[str]:
        """Names of the features."""
        gap = [f"{self.name} missing"] if self.gaps else []
        if self.coded:
            return [*gap, self.name]
        return [*([f"{self.name}={v}" for v in self.values] if self.kind == "text" else [self.name]), *gap]

    def encoded(self, cells: np.ndarray, place: Place) -> np.ndarray:
        """Return the features, (rows, features), of cells as ``learnt`` takes them."""
        _, values, missing = _read(cells, self.kind, place)
        last = [missing.astype(np.float64)] if self.gaps else []
        if self.kind != "text":
            return np.stack([np.where(missing, self.fill, values), *last], axis=1)
        if not self.values:
            return np.stack(last, axis=1)
        values = np.where(missing, self.values[0], values)
        if self.coded:
            codes = {value: float(code) for code, value in enumerate(self.values, start=1)}
            return np.stack([*last, np.array([codes.get(value, 0.0) for value in values.tolist()])], axis=1)
        hot = (values[:, None] == np.array(self.values)[None]).astype(np.float64)
        hot[~hot.any(axis=1)] = self.shares
        return np.concatenate([hot, *(each[:, None] for each in last)], axis=1)

    def __str__(self) -> str:
        if len(self.features) == self.gaps:
            return f"{self.name} (whether it is there)"
        texts = f"{len(self.values)} texts" + (", each a vector" if self.coded else "")
        said = {"number": [], "date": ["days"], "text": [texts]}[self.kind]
        if self.gaps:
            said.append(f"gaps: {self.values[0] if self.kind == 'text' else f'{self.fill:g}'}")
        return f"{self.name} ({', '.join(said)})" if said else self.name


def _read(cells: np.ndarray, kind: str | None, place: Place) -> tuple[str, np.ndarray, np.ndarray]:
    """Return the kind of a column (as asked for, or as most of its cells are), its values, and where there is none."""
    if cells.dtype.kind == "M":
        missing = np.isnat(cells)
        values = (cells - np.datetime64(0, "D")) / _DAY
        found = "date"
    elif cells.dtype.kind in "biuf":
        values = cells.astype(np.float64)
        missing, found = np.isnan(values), "number"
    else:
        found, values, missing = _text(cells, kind, place)
    if kind is not None and found != kind and not missing.all():
        if kind == "text" and found == "number":  # digits that were names where the network was trained
            return kind, np.array([_name(value) for value in values.tolist()]), missing
        row = int(np.argmin(missing))
        raise DataError(f"{place(row)}: expected a {kind}, as where the model was trained; got {cells[row]!s}")
    if found != "text" and np.isinf(values).any():
        row = int(np.isinf(values).argmax())
        raise DataError(f"{place(row)}: expected a finite number; got {values[row]}")
    return kind or found, values, missing


def _name(value: float) -> str:
    return str(int(value)) if value == value and value == int(value) else repr(value)


def _text(cells: np.ndarray, kind: str | None, place: Place) -> tuple[str, np.ndarray, np.ndarray]:
    texts = [str(cell).strip() for cell in cells.tolist()]
    missing = np.array([text.lower() in MISSING for text in texts])
    there = [text for text, gone in zip(texts, missing, strict=True) if not gone]
    numbers, dates = sum(number(text) is not None for text in there), sum(map(bool, map(_DATE.fullmatch, there)))
    if kind == "text" or 2 * max(numbers, dates) <= len(there):
        return "text", np.array(texts), missing
    found = "number" if numbers >= dates else "date"
    read = _number if found == "number" else _days
    values = np.full(len(texts), np.nan)
    for row, (text, gone) in enumerate(zip(texts, missing, strict=True)):
        value = None if gone else read(text)
        if value is None and not gone:
            raise DataError(f"{place(row)}: expected a {found}; got {text!r}, where most rows have one")
        values[row] = np.nan if value is None else value
    return found, values, missing


def _number(text: str) -> float | None:
    return number(text)


def _days(text: str) -> float | None:
    if not _DATE.fullmatch(text):
        return None
    try:
        return float((np.datetime64(text.replace(" ", "T"), "ms") - np.datetime64(0, "ms")) / _DAY)
    except ValueError:  # the 31st of February
        return None


def is_plain(table: Table, names: Sequence[str]) -> bool:
    """Return whether columns are numbers without gaps, in whatever rows: they need no encoding."""
    columns = [table.columns[name] for name in names]
    return all(c.dtype.kind in "biu" or (c.dtype.kind == "f" and not np.isnan(c).any()) for c in columns)


def _places(table: Table, name: str, rows: np.ndarray | None = None) -> Place:
    return lambda row: f"{table.source}, {table.place(row if rows is None else int(rows[row]))}, column {name!r}"


@dataclass(frozen=True)
class Encoding:
    """How a table's columns become features."""

    columns: tuple[Column, ...]

    @classmethod
    def learnt(
        cls, table: Table, names: Sequence[str], rows: np.ndarray, embed: bool = False
    ) -> "tuple[Encoding, list[str]]":
        """Learn from some rows of a table; return also the names of columns that say nothing and are left out."""
        columns = [Column.learnt(name, table.columns[name][rows], _places(table, name, rows), embed) for name in names]
        kept = tuple(column for column in columns if column.speaks)
        if not kept:
            raise DataError(f"{table.source}: expected columns to learn from; got texts that differ in most rows")
        return cls(kept), [column.name for column in columns if not column.speaks]

    @property
    def features(self) -> list[str]:
        """Names of the features, codes last."""
        names = [name for c in self.columns for name in c.features[: len(c.features) - c.coded]]
        return names + [c.features[-1] for c in self.columns if c.coded]

    @property
    def entries(self) -> tuple[int, ...]:
        """How many values each code has."""
        return tuple(len(column.values) for column in self.columns if column.coded)

    def encoded(self, table: Table) -> np.ndarray:
        """Return the features of a table's rows, (rows, features), in float64. Raises DataError."""
        parts, codes = [], []
        for column in self.columns:
            name = table.column(column.name)
            part = column.encoded(table.columns[name], _places(table, name))
            parts.append(part[:, : part.shape[1] - column.coded])
            codes.append(part[:, part.shape[1] - column.coded :])
        return np.concatenate(parts + codes, axis=1)

    def describe(self) -> list[dict[str, Any]]:
        """Return it as plain JSON values."""
        return [asdict(column) for column in self.columns]

    @classmethod
    def from_description(cls, description: Sequence[Mapping[str, Any]]) -> "Encoding":
        """Return what ``describe`` described."""
        columns: list[dict[str, Any]] = [
            {name: tuple(value) if isinstance(value, list) else value for name, value in column.items()}
            for column in description
        ]
        return cls(tuple(Column(**column) for column in columns))
