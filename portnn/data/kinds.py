"""Column kinds (number, bool, date, instant, text), and the values of a column of a kind."""

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

Locate = Callable[[int], str]
"""Returns where in the user's data a row is, for messages."""


def kind_of(cells: np.ndarray, zoned: bool) -> str:
    """Return the kind of a column: its dtype's, or the kind as which all, or most, of its texts can be read."""
    if cells.dtype.kind == "M":
        return "instant" if zoned else "date"
    if cells.dtype.kind in "biuf":
        return "bool" if cells.dtype.kind == "b" else "number"
    texts = [text for text in map(_stripped, cells.tolist()) if text.lower() not in MISSING]
    if texts and all(truth(text) is not None for text in texts):
        return "bool"
    numbers = sum(number(text) is not None for text in texts)
    if any(
        "," in text and number(text) is not None for text in texts
    ):  # a decimal comma in the same column is an error
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
    cells: np.ndarray, kind: str, zoned: bool, location: Locate, learning: bool = False
) -> tuple[np.ndarray, np.ndarray]:
    """Return (values, missing) of a column read as a kind. Raises DataError for a cell of another kind."""
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
        pairs = zip(texts.tolist(), missing.tolist(), strict=True)
        parsed = [None if is_missing else read(text) for text, is_missing in pairs]
        values = np.array([np.nan if value is None else value for value in parsed], np.float64)
        wrong = ~missing & np.array([value is None for value in parsed])
    if wrong.any():
        row = int(wrong.argmax())
        cell = cells[row]
        ends = (
            f"got {str(cell)!r}, where most rows have one"
            if learning
            else f"as where the model was trained; got {cell}"
        )
        raise DataError(f"{location(row)}: expected {_NAMES[kind]}{'; ' if learning else ', '}{ends}")
    if np.isinf(values).any():
        row = int(np.isinf(values).argmax())
        raise DataError(f"{location(row)}: expected a finite number; got {values[row]}")
    return values, missing


def grouped_number(cells: np.ndarray, location: Locate) -> str:
    """Return the first number with marked thousands (1,163.74), or "".

    Raises DataError if another cell has a decimal comma: 0,5.
    """
    if cells.dtype.kind not in "UO":
        return ""
    texts = list(map(_stripped, cells.tolist()))
    grouped = next((text for text in texts if "," in text and number(text) is not None), "")
    other = next((row for row, text in enumerate(texts) if is_decimal_comma(text)), None)
    if grouped and other is not None:
        raise DataError(
            f"{location(other)}: expected one decimal mark; got {texts[other]}, where others are as {grouped}"
        )
    return grouped


def _stripped(cell: Any) -> str:
    return str(cell).strip()


def _without_zone(text: str) -> str:
    match = _ZONE.fullmatch(text)
    return match[1] if match else text


def _bool(text: str) -> float | None:
    value = truth(text) if number(text) not in (0.0, 1.0) else number(text)
    return None if value is None else float(value)


def _days(text: str) -> float | None:
    if not _DATE.fullmatch(text):
        return None
    try:
        return float((np.datetime64(text.replace(" ", "T"), "ms") - np.datetime64(0, "ms")) / _DAY)
    except ValueError:  # the 31st of February
        return None


def _utc_days(text: str) -> float | None:
    match = _ZONE.fullmatch(text)
    days = _days(match[1]) if match else None
    if match is None or days is None or match[2] is None:
        return days
    milliseconds = int(f"{match[2]}1") * (int(match[3]) * 60 + int(match[4])) * 60_000
    return float((np.timedelta64(round(days * 86_400_000), "ms") - np.timedelta64(milliseconds, "ms")) / _DAY)
