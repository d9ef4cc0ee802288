"""Encodes table columns (numbers with missing values, texts, dates) as features; the network keeps the encoding.

A missing value becomes the median, or the most frequent text, and sets an indicator feature. A text column becomes one
feature per category (one-hot); a rare or unseen category counts as the average row, so that it adds nothing. With a
``Tabular`` layer a text column of many categories becomes a code, for which the layer has a vector. A date becomes days
since 1970. A date with a time of day also becomes hour and weekday as points on a circle, so that 23:59 is near 0:00
and Sunday near Monday.
"""

import logging
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from portnn.data.kinds import Locate, grouped_number, kind_of, values_of
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
    """The encoding of one column."""

    name: str
    kind: str
    """number, bool, date, instant (a date with a time zone) or text."""
    gaps: bool
    """Whether an indicator feature marks missing values."""
    fill: float = 0.0
    """Median of the values, for missing ones."""
    values: tuple[str, ...] = ()
    """Categories of a text column, the most frequent first."""
    shares: tuple[float, ...] = ()
    """Share of the rows with each category."""
    coded: bool = False
    """Whether the column becomes a code: the index of the category, from 1; 0 for any other text."""
    timed: bool = False
    """Whether hour and weekday are features."""
    grouped: str = ""
    """The column's first number with marked thousands, 1,163.74; "" without one."""

    @classmethod
    def fit(cls, name: str, cells: np.ndarray, location: Locate, embed: bool = False, zoned: bool = False) -> "Column":
        """Fit the encoding to cells, (rows,): numbers (NaN: missing), bools, texts or datetime64. Raises DataError.

        ``embed``: text columns with many categories become codes. ``zoned``: datetime64 in UTC, of times with a time
        zone.
        """
        kind = kind_of(cells, zoned)
        grouped = grouped_number(cells, location) if kind == "number" else ""
        values, missing = values_of(cells, kind, zoned, location, learning=True)
        gaps = bool(missing.any())
        if missing.all():
            return cls(name, "text", gaps)
        if kind != "text":
            present = values[~missing]
            timed = kind in ("date", "instant") and bool(np.any(present % 1 != present[0] % 1))
            fill = float(np.median(present))
            return cls(name, kind, gaps, fill, timed=timed, grouped=grouped)
        distinct, counts = np.unique(values[~missing], return_counts=True)
        if len(distinct) > max(counts.sum() / 2, MIN_REPEATED):
            return cls(name, kind, gaps)
        order = np.argsort(-counts, kind="stable")
        coded = embed and len(distinct) > MAX_ONE_HOT
        order = order[counts[order] > 1][:MAX_VOCABULARY] if coded else order[:MAX_ONE_HOT]
        shares = () if coded else (counts[order] / counts.sum()).tolist()
        return cls(name, kind, gaps, 0.0, tuple(distinct[order].tolist()), tuple(shares), coded)

    @property
    def is_informative(self) -> bool:
        """Whether the column varies and, if it is text, is not a different text in most rows."""
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

    def encoded(self, cells: np.ndarray, location: Locate, zoned: bool = False) -> np.ndarray:
        """Return the features, (rows, features), of cells as ``fit`` takes them."""
        values, missing = values_of(cells, self.kind, zoned, location)
        missing_column = [missing.astype(np.float64)] if self.gaps else []
        if self.kind != "text":
            parts = _on_circles(values, missing) if self.timed else []
            return np.stack([np.where(missing, self.fill, values), *parts, *missing_column], axis=1)
        if not self.values:
            return np.stack(missing_column, axis=1)
        codes = Categories(self.values).codes(values)
        if not missing.all() and (codes[~missing] < 0).all():
            _log.warning(
                "%s: none of the values occurred in training: each counts as the average row",
                location(int(np.argmin(missing))),
            )
        codes[missing] = 0
        if self.coded:
            return np.stack([*missing_column, codes + 1.0], axis=1)
        hot = (codes[:, None] == np.arange(len(self.values))).astype(np.float64)
        hot[codes < 0] = self.shares
        return np.concatenate([hot, *(column[:, None] for column in missing_column)], axis=1)

    def __str__(self) -> str:
        if len(self.features) == self.gaps:
            return f"{self.name} (whether it is there)"
        words = {"date": "days", "instant": "days, UTC", "text": f"{len(self.values)} texts"}.get(self.kind, self.kind)
        words += ", hour, weekday" if self.timed else ""
        words += f", {self.grouped} is {number(self.grouped):.15g}" if self.grouped else ""
        words += ", each a vector" if self.coded else ""
        gaps = f", gaps: {self.values[0] if self.kind == 'text' else f'{self.fill:g}'}" if self.gaps else ""
        return f"{self.name} ({words}{gaps})"


def _on_circles(days: np.ndarray, missing: np.ndarray) -> list[np.ndarray]:
    """Return sine and cosine of the hour of the day and of the weekday, from days since 1970; 0 for a missing date.

    The arithmetic gives the same bits on every machine.
    """
    days = np.where(missing, 0.0, days)
    hour, weekday = days % 1.0, (np.floor(days) + 3.0) % 7.0 / 7.0  # the first of January 1970 was a Thursday
    phases = [part for share in (hour, weekday) for part in (share - 0.25, share)]
    return [np.where(missing, 0.0, cos(np, 2.0 * np.pi * phase)) for phase in phases]


def is_plain(table: Table, names: Sequence[str]) -> bool:
    """Return whether the columns are numbers without missing values in every row: they need no encoding."""
    columns = [table.columns[name] for name in names]
    return all(c.dtype.kind in "biu" or (c.dtype.kind == "f" and not np.isnan(c).any()) for c in columns)


def _locations(table: Table, name: str, rows: np.ndarray | None = None) -> Locate:
    return lambda row: f"{table.source}, {table.location_of(row if rows is None else int(rows[row]))}, column {name!r}"


@dataclass(frozen=True)
class Encoding:
    """The encoding of a table's columns."""

    columns: tuple[Column, ...]

    @classmethod
    def fit(
        cls, table: Table, names: Sequence[str], rows: np.ndarray, embed: bool = False
    ) -> "tuple[Encoding, list[str]]":
        """Fit the encoding to rows of a table; return also the names of uninformative columns, which are dropped."""
        columns = [
            Column.fit(name, table.columns[name][rows], _locations(table, name, rows), embed, name in table.zoned)
            for name in names
        ]
        informative = tuple(column for column in columns if column.is_informative)
        if not informative:
            raise DataError(f"{table.source}: expected columns to learn from; got texts that differ in most rows")
        return cls(informative), [column.name for column in columns if not column.is_informative]

    @property
    def features(self) -> list[str]:
        """Names of the features, codes last."""
        names = [name for c in self.columns for name in c.features[: len(c.features) - c.coded]]
        return names + [c.features[-1] for c in self.columns if c.coded]

    @property
    def vocabulary_sizes(self) -> tuple[int, ...]:
        """Number of categories of each code column."""
        return tuple(len(column.values) for column in self.columns if column.coded)

    def encoded(self, table: Table) -> np.ndarray:
        """Return the features of a table's rows, (rows, features), in float64. Raises DataError."""
        parts, codes = [], []
        for column in self.columns:
            name = table.column(column.name)
            # In a model's text column, digits are texts.
            cells = table.texts(name) if column.kind == "text" else table.columns[name]
            if column.grouped:
                table.refuse_doubtful_thousands(name, column.grouped)
            part = column.encoded(cells, _locations(table, name), name in table.zoned)
            parts.append(part[:, : part.shape[1] - column.coded])
            codes.append(part[:, part.shape[1] - column.coded :])
        return np.concatenate(parts + codes, axis=1)

    def get_config(self) -> list[dict[str, Any]]:
        """Return the encoding as plain JSON values."""
        return [asdict(column) for column in self.columns]

    @classmethod
    def from_config(cls, description: Sequence[Mapping[str, Any]]) -> "Encoding":
        """Return the encoding that ``get_config`` returned."""
        columns: list[dict[str, Any]] = [
            {name: tuple(value) if isinstance(value, list) else value for name, value in column.items()}
            for column in description
        ]
        return cls(tuple(Column(**column) for column in columns))
