"""From columns as they are (numbers with gaps, texts, dates) to features: learnt in training, kept with the network.

A gap becomes the median, or the most frequent text, and a feature of its own says that there was one. A text becomes a
feature for each value (one-hot); a value that was never seen, or seldom, counts as the average row, so that it speaks
for none. A text of many values becomes a code, for a layer that gives each a vector (``Tabular``), where there is one.
Dates become days since 1970.
"""

import logging
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from portnn.data.categories import MISSING, Categories, number, truth
from portnn.data.tables import Table
from portnn.errors import DataError

_log = logging.getLogger("portnn")
MANY, FEW, CODES = 40, 10, 1000
"""Values of a text column that have a feature; of more, the most frequent ones, or as many CODES. Beyond a FEW, none
has one where they differ in most rows."""
_DATE = re.compile(r"\d{4}-\d\d-\d\d(?:[ T]\d\d:\d\d(?::\d\d(?:\.\d+)?)?)?")
_ZONE = re.compile(r"(.*\d\d:\d\d.*?) ?(?:Z|([+-])(\d\d):?(\d\d))")
"""A time and its zone."""
_DAY = np.timedelta64(1, "D")


Place = Callable[[int], str]
"""Says for a row where in the user's data it is."""


@dataclass(frozen=True)
class Column:
    """How one column becomes features."""

    name: str
    kind: str
    """number, bool, date, instant (a date with a time zone) or text."""
    gaps: bool
    """Whether a feature says where it had none."""
    fill: float = 0.0
    """Median of a number, a bool or a date."""
    values: tuple[str, ...] = ()
    """Of a text, the most frequent first."""
    shares: tuple[float, ...] = ()
    """Of the rows, how many had each of them."""
    coded: bool = False
    """Whether a text becomes a code: its place among the values, from 1, or 0 for any other."""

    @classmethod
    def learnt(cls, name: str, cells: np.ndarray, place: Place, embed: bool = False, zoned: bool = False) -> "Column":
        """Learn from cells, (rows,): numbers (NaN: missing), bools, texts or datetime64 (``zoned``: of a time zone).

        To ``embed``: texts of many values become codes. Raises DataError.
        """
        kind = _kind(cells, zoned)
        values, missing = _read(cells, kind, zoned, place, learning=True)
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

    def encoded(self, cells: np.ndarray, place: Place, zoned: bool = False) -> np.ndarray:
        """Return the features, (rows, features), of cells as ``learnt`` takes them."""
        values, missing = _read(cells, self.kind, zoned, place)
        last = [missing.astype(np.float64)] if self.gaps else []
        if self.kind != "text":
            return np.stack([np.where(missing, self.fill, values), *last], axis=1)
        if not self.values:
            return np.stack(last, axis=1)
        codes = Categories(self.values).codes(values)
        if not missing.all() and (codes[~missing] < 0).all():
            _log.warning(
                "%s: none of its values was there where the model was trained: each counts as the average row",
                place(int(np.argmin(missing))),
            )
        codes[missing] = 0
        if self.coded:
            return np.stack([*last, codes + 1.0], axis=1)
        hot = (codes[:, None] == np.arange(len(self.values))).astype(np.float64)
        hot[codes < 0] = self.shares
        return np.concatenate([hot, *(each[:, None] for each in last)], axis=1)

    def __str__(self) -> str:
        if len(self.features) == self.gaps:
            return f"{self.name} (whether it is there)"
        said = {"date": "days", "instant": "days, UTC", "text": f"{len(self.values)} texts"}.get(self.kind, self.kind)
        said += ", each a vector" if self.coded else ""
        gaps = f", gaps: {self.values[0] if self.kind == 'text' else f'{self.fill:g}'}" if self.gaps else ""
        return f"{self.name} ({said}{gaps})"


def _kind(cells: np.ndarray, zoned: bool) -> str:
    """Return the kind of a column: that of its dtype, or of texts what each, or most of them, can be read as."""
    if cells.dtype.kind == "M":
        return "instant" if zoned else "date"
    if cells.dtype.kind in "biuf":
        return "bool" if cells.dtype.kind == "b" else "number"
    texts = [text for text in map(_stripped, cells.tolist()) if text.lower() not in MISSING]
    if texts and all(truth(text) is not None for text in texts):
        return "bool"
    numbers = sum(number(text) is not None for text in texts)
    dates = sum(bool(_DATE.fullmatch(_without_zone(text))) for text in texts)
    if 2 * max(numbers, dates) <= len(texts):
        return "text"
    if numbers >= dates:
        return "number"
    return "instant" if 2 * sum(map(bool, map(_ZONE.fullmatch, texts))) > dates else "date"


_NAMES = {
    "number": "a number",
    "bool": "True or False",
    "date": "a date",
    "instant": "a time with a time zone",
    "text": "a text",
}


def _read(
    cells: np.ndarray, kind: str, zoned: bool, place: Place, learning: bool = False
) -> tuple[np.ndarray, np.ndarray]:
    """Return a column's values, read as of a kind, and where there is none. Raises DataError for a cell of another."""
    if cells.dtype.kind == "M":
        values, missing = (cells - np.datetime64(0, "D")) / _DAY, np.isnat(cells)
        wrong = ~missing & (kind != ("instant" if zoned else "date"))
    elif cells.dtype.kind in "biuf":
        missing = np.isnan(cells) if cells.dtype.kind == "f" else np.zeros(len(cells), bool)
        if kind == "text":
            return cells, missing
        values = cells.astype(np.float64)
        fits = np.isin(values, (0.0, 1.0)) if kind == "bool" else np.full(len(cells), kind == "number")
        wrong = ~missing & ~fits
    else:
        texts = np.array(list(map(_stripped, cells.tolist())))
        missing = np.isin(np.char.lower(texts), list(MISSING))
        if kind == "text":
            return texts, missing
        read = {"number": number, "bool": _bool, "date": _days, "instant": _utc_days}[kind]
        found = [None if gone else read(text) for text, gone in zip(texts.tolist(), missing.tolist(), strict=True)]
        values = np.array([np.nan if value is None else value for value in found], np.float64)
        wrong = ~missing & np.array([value is None for value in found])
    if wrong.any():
        row = int(wrong.argmax())
        cell = cells[row]
        ends = (
            f"got {str(cell)!r}, where most rows have one"
            if learning
            else f"as where the model was trained; got {cell}"
        )
        raise DataError(f"{place(row)}: expected {_NAMES[kind]}{'; ' if learning else ', '}{ends}")
    if np.isinf(values).any():
        row = int(np.isinf(values).argmax())
        raise DataError(f"{place(row)}: expected a finite number; got {values[row]}")
    return values, missing


def _stripped(cell: Any) -> str:
    return str(cell).strip()


def _without_zone(text: str) -> str:
    found = _ZONE.fullmatch(text)
    return found[1] if found else text


def _bool(text: str) -> float | None:
    found = truth(text) if number(text) not in (0.0, 1.0) else number(text)
    return None if found is None else float(found)


def _days(text: str) -> float | None:
    if not _DATE.fullmatch(text):
        return None
    try:
        return float((np.datetime64(text.replace(" ", "T"), "ms") - np.datetime64(0, "ms")) / _DAY)
    except ValueError:  # the 31st of February
        return None


def _utc_days(text: str) -> float | None:
    found = _ZONE.fullmatch(text)
    days = _days(found[1]) if found else None
    if found is None or days is None or found[2] is None:
        return days
    milliseconds = int(f"{found[2]}1") * (int(found[3]) * 60 + int(found[4])) * 60_000
    return float((np.timedelta64(round(days * 86_400_000), "ms") - np.timedelta64(milliseconds, "ms")) / _DAY)


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
        columns = [
            Column.learnt(name, table.columns[name][rows], _places(table, name, rows), embed, name in table.zoned)
            for name in names
        ]
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
            # Digits alone may be texts where the model was trained.
            cells = table.texts(name) if column.kind == "text" else table.columns[name]
            part = column.encoded(cells, _places(table, name), name in table.zoned)
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
