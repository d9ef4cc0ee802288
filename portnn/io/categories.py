"""Categories: one value is the same category as text, number or bool."""

import re
from collections.abc import Sequence
from typing import Any, TypeAlias

import numpy as np

Label: TypeAlias = str | bool | int | float
"""A category or a class label."""

MISSING = frozenset(("", "?", "na", "n/a", "#n/a", "nan", "-nan", "null", "none", "<na>"))
"""Lower-case texts that mean a missing value."""
THOUSANDS = re.compile(r"[+-]?[1-9]\d{0,2}(?:,\d{3})+(?:\.\d*)?")
"""A number with marked thousands: 1,163.74."""
_COMMA = re.compile(r"[+-]?(?:\d{1,3}(?:\.\d{3})+|\d+),\d+")
_TRUTH = {"true": True, "false": False}


def number(text: str) -> float | None:
    """Return the number that a text holds, or None: ``1_0``, which Python takes for ten, is text; 1,163 is 1163."""
    try:
        return None if "_" in text else float(text)
    except ValueError:
        return float(text.replace(",", "")) if THOUSANDS.fullmatch(text) else None


def is_decimal_comma(text: str) -> bool:
    """Return whether a text is a number with a decimal comma: 0,5 or 1.163,74, but not 1,163."""
    return bool(_COMMA.fullmatch(text)) and number(text) is None


def truth(text: str) -> bool | None:
    """Return the bool that a text spells, in any case, or None."""
    return _TRUTH.get(text.strip().lower())


def typed_cells(texts: Sequence[str]) -> np.ndarray:
    """Return text cells as bools if each spells one, else as texts."""
    bools = [truth(text) for text in texts]
    return np.array(texts) if None in bools else np.array(bools, bool)


def as_text(value: Any) -> str:
    """Return the text that stands for a value: "1" for 1 and 1.0, "True" for True, a text for itself."""
    if isinstance(value, tuple):  # a column of several levels
        return f"({', '.join(map(as_text, value))})"
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, float) and value == value and abs(value) != np.inf and value == int(value):
        return str(int(value))
    return str(value)


class Categories:
    """The index of cells in a fixed sequence of values.

    A text equals the value of the same spelling, a number the value of the same number (1.1 is "1.10"), a bool the
    value of the same truth ("True", "true" or, among bools alone, 1).
    """

    def __init__(self, values: Sequence[Label]) -> None:
        texts = [as_text(value) for value in values]
        self._exact = {text: code for code, text in enumerate(texts)}
        bools = {truth(text): code for code, text in enumerate(texts)}
        self._bools = bools if len(bools) == len(texts) and None not in bools else {}
        numbers = [None if truth(text) is not None else number(text) for text in texts]
        # Two values may be one number ("1.1", "1.10"): a number then matches neither.
        self._numbers = {n: code for code, n in enumerate(numbers) if n is not None and numbers.count(n) == 1}
        self._are_numbers = not any(isinstance(value, str) for value in values)

    def codes(self, cells: np.ndarray) -> np.ndarray:
        """Return the index of each cell's value, (rows,) int64; -1 for any other value."""
        if cells.dtype == object:
            code = {value: self._code(value) for value in set(cells.tolist())}
            return np.array([code[value] for value in cells.tolist()], np.int64)
        distinct, positions = np.unique(cells, return_inverse=True)
        return np.array([self._code(value) for value in distinct.tolist()], np.int64)[positions.reshape(-1)]

    def _code(self, value: Any) -> int:
        text = as_text(value)
        code = self._exact.get(text)
        if code is None and self._bools:
            is_true = {"1": True, "0": False}.get(text, truth(text))
            code = None if is_true is None else self._bools.get(is_true)
        if code is None and (self._are_numbers or not isinstance(value, str)):
            amount = number(text)
            code = None if amount is None else self._numbers.get(amount)
        return -1 if code is None else code
