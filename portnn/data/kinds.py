"""What kind a column is (numbers, bools, dates, instants, texts), its values, and where there is none."""

import re
from collections.abc import Callable
from typing import Any

import numpy as np

from portnn.errors import DataError
from portnn.io.categories import MISSING, is_decimal_comma, number, truth

_DATE = re.compile(r"\d{4}-\d\d-\d\d(?:[ T]\d\d:\d\d(?::\d\d(?:\.\d+)?)?)?")
_ZONE = re.compile(r"(.*\d\d:\d\d.*?) ?(?:Z|([+-])(\d\d):?(\d\d))")
"""A time and its zone."""
_DAY = np.timedelta64(1, "D")

Place = Callable[[int], str]
"""Says for a row where in the user's data it is."""


def kind_of(cells: np.ndarray, zoned: bool) -> str:
    """Return the kind of a column: that of its dtype, or of texts what each, or most of them, can be read as."""
    if cells.dtype.kind == "M":
        return "instant" if zoned else "date"
    if cells.dtype.kind in "biuf":
        return "bool" if cells.dtype.kind == "b" else "number"
    texts = [text for text in map(_stripped, cells.tolist()) if text.lower() not in MISSING]
    if texts and all(truth(text) is not None for text in texts):
        return "bool"
    numbers = sum(number(text) is not None for text in texts)
    if any("," in text and number(text) is not None for text in texts):  # beside it a decimal comma is an error
        numbers += sum(map(is_decimal_comma, texts))
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


def values_of(
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


def grouped_number(cells: np.ndarray, place: Place) -> str:
    """Return the first number of which thousands are marked, where there is one: 1,163.74.

    Raises DataError where another cell has a decimal comma: 0,5.
    """
    if cells.dtype.kind not in "UO":
        return ""
    texts = list(map(_stripped, cells.tolist()))
    found = next((text for text in texts if "," in text and number(text) is not None), "")
    other = next((row for row, text in enumerate(texts) if is_decimal_comma(text)), None)
    if found and other is not None:
        raise DataError(f"{place(other)}: expected one decimal mark; got {texts[other]}, where others are as {found}")
    return found


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
