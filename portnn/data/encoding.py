"""From columns as they are (numbers with gaps, texts, dates) to features: learnt in training, kept with the network.

A gap becomes the median, or the most frequent text, and a feature of its own says that there was one. A text becomes a
feature for each value (one-hot); a value that was never seen, or seldom, counts as the average row, so that it adds
for none. A text of many values becomes a code, for a layer that gives each a vector (``Tabular``), where there is one.
Dates become days since 1970, and where they have times of the day, hour and weekday as points on a circle, so that
23:59 is near 0:00 and Sunday near Monday.
"""

import logging
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from portnn.data.kinds import Place, grouped_number, kind_of, values_of
from portnn.errors import DataError
from portnn.io.categories import Categories, number
from portnn.io.tables import Table
from portnn.reproducible.elementary import cos

_log = logging.getLogger("portnn")
MAX_ONE_HOT, MIN_REPEATED, MAX_VOCABULARY = 40, 10, 1000
"""Limits of text columns. Up to MAX_ONE_HOT categories are one-hot encoded, the most frequent ones first; with
embeddings up to MAX_VOCABULARY categories have a vector. A column with more than MIN_REPEATED categories, of which most
occur once, is dropped."""
_CIRCLES = ("hour sine", "hour cosine", "weekday sine", "weekday cosine")


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
    timed: bool = False
    """Whether features tell the time of the day and the weekday of a date."""
    grouped: str = ""
    """A number of which thousands are marked, as it was found: 1,163.74."""

    @classmethod
    def learnt(cls, name: str, cells: np.ndarray, place: Place, embed: bool = False, zoned: bool = False) -> "Column":
        """Learn from cells, (rows,): numbers (NaN: missing), bools, texts or datetime64 (``zoned``: of a time zone).

        To ``embed``: texts of many values become codes. Raises DataError.
        """
        kind = kind_of(cells, zoned)
        grouped = grouped_number(cells, place) if kind == "number" else ""
        values, missing = values_of(cells, kind, zoned, place, learning=True)
        gaps = bool(missing.any())
        if missing.all():
            return cls(name, "text", gaps)
        if kind != "text":
            there = values[~missing]
            timed = kind in ("date", "instant") and bool(np.any(there % 1 != there[0] % 1))
            fill = float(np.median(there))
            return cls(name, kind, gaps, fill, timed=timed, grouped=grouped)
        found, counts = np.unique(values[~missing], return_counts=True)
        if len(found) > max(counts.sum() / 2, MIN_REPEATED):
            return cls(name, kind, gaps)
        order = np.argsort(-counts, kind="stable")
        coded = embed and len(found) > MAX_ONE_HOT
        order = order[counts[order] > 1][:MAX_VOCABULARY] if coded else order[:MAX_ONE_HOT]
        shares = () if coded else (counts[order] / counts.sum()).tolist()
        return cls(name, kind, gaps, 0.0, tuple(found[order].tolist()), tuple(shares), coded)

    @property
    def is_informative(self) -> bool:
        """Whether it is worth its features: not a text that is another one in most rows, or the same in all."""
        return self.kind != "text" or self.gaps or len(self.values) > 1

    @property
    def features(self) -> list[str]:
        """Names of the features."""
        gap = [f"{self.name} missing"] if self.gaps else []
        if self.coded:
            return [*gap, self.name]
        if self.kind == "text":
            return [*(f"{self.name}={value}" for value in self.values), *gap]
        return [self.name, *(f"{self.name} {part}" for part in _CIRCLES if self.timed), *gap]

    def encoded(self, cells: np.ndarray, place: Place, zoned: bool = False) -> np.ndarray:
        """Return the features, (rows, features), of cells as ``learnt`` takes them."""
        values, missing = values_of(cells, self.kind, zoned, place)
        last = [missing.astype(np.float64)] if self.gaps else []
        if self.kind != "text":
            parts = _on_circles(values, missing) if self.timed else []
            return np.stack([np.where(missing, self.fill, values), *parts, *last], axis=1)
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
        said += ", hour, weekday" if self.timed else ""
        said += f", {self.grouped} is {number(self.grouped):.15g}" if self.grouped else ""
        said += ", each a vector" if self.coded else ""
        gaps = f", gaps: {self.values[0] if self.kind == 'text' else f'{self.fill:g}'}" if self.gaps else ""
        return f"{self.name} ({said}{gaps})"


def _on_circles(days: np.ndarray, missing: np.ndarray) -> list[np.ndarray]:
    """Return sine and cosine of the hour in its day, and of the weekday, of days since 1970; 0 where there is none.

    In arithmetic that is the same on every machine.
    """
    days = np.where(missing, 0.0, days)
    hour, weekday = days % 1.0, (np.floor(days) + 3.0) % 7.0 / 7.0  # the first of January 1970 was a Thursday
    phases = [part for share in (hour, weekday) for part in (share - 0.25, share)]
    return [np.where(missing, 0.0, cos(np, 2.0 * np.pi * phase)) for phase in phases]


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
        kept = tuple(column for column in columns if column.is_informative)
        if not kept:
            raise DataError(f"{table.source}: expected columns to learn from; got texts that differ in most rows")
        return cls(kept), [column.name for column in columns if not column.is_informative]

    @property
    def features(self) -> list[str]:
        """Names of the features, codes last."""
        names = [name for c in self.columns for name in c.features[: len(c.features) - c.coded]]
        return names + [c.features[-1] for c in self.columns if c.coded]

    @property
    def vocabulary_sizes(self) -> tuple[int, ...]:
        """How many values each code has."""
        return tuple(len(column.values) for column in self.columns if column.coded)

    def encoded(self, table: Table) -> np.ndarray:
        """Return the features of a table's rows, (rows, features), in float64. Raises DataError."""
        parts, codes = [], []
        for column in self.columns:
            name = table.column(column.name)
            # Digits alone may be texts where the model was trained.
            cells = table.texts(name) if column.kind == "text" else table.columns[name]
            if column.grouped:
                table.refuse_doubtful_thousands(name, column.grouped)
            part = column.encoded(cells, _places(table, name), name in table.zoned)
            parts.append(part[:, : part.shape[1] - column.coded])
            codes.append(part[:, part.shape[1] - column.coded :])
        return np.concatenate(parts + codes, axis=1)

    def get_config(self) -> list[dict[str, Any]]:
        """Return it as plain JSON values."""
        return [asdict(column) for column in self.columns]

    @classmethod
    def from_config(cls, description: Sequence[Mapping[str, Any]]) -> "Encoding":
        """Return what ``get_config`` described."""
        columns: list[dict[str, Any]] = [
            {name: tuple(value) if isinstance(value, list) else value for name, value in column.items()}
            for column in description
        ]
        return cls(tuple(Column(**column) for column in columns))
