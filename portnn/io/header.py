"""Decides whether a CSV's first row is a header, from the rows below it; doubtful cases are logged.

Names are texts as a rule, but pandas names columns 0, 1, 2, and years may be names too.
"""

import logging
from collections.abc import Sequence
from itertools import pairwise

from portnn.io.categories import MISSING, number

_log = logging.getLogger("portnn")
_YEARS = range(1900, 2101)


def is_header(source: str, first: Sequence[str], below: Sequence[Sequence[str]]) -> bool:
    """Return whether the first row is a header; ``below``: some of the rows after it.

    It is one if no cell is a number, unless each cell occurs again in its column; if a text is above numbers; and if
    its numbers count up (0, 1, 2, or years) unlike those below. The last two are logged, and so are doubtful rows taken
    as data.
    """
    amounts = [number(cell) for cell in first]
    shown = ", ".join(first[:6]) + (", ..." if len(first) > 6 else "")
    if all(amount is None for amount in amounts):
        again = all(any(i < len(row) and row[i] == cell for row in below) for i, cell in enumerate(first))
        if again:
            _log.warning(
                "%s: its first row, %s, occurs again below: it is read as data; --header (header=True): as a header",
                source,
                shown,
            )
        return not again
    columns = [[row[i] for row in below if i < len(row)] for i in range(len(first))]
    texts = [i for i, amount in enumerate(amounts) if amount is None and first[i].lower() not in MISSING]
    over_numbers = any(_is_numbers(columns[i]) for i in texts)
    numbers = {i: amount for i, amount in enumerate(amounts) if amount is not None}
    if not over_numbers and not _counts_up(list(numbers.values())):
        return False
    unlike = sum(_is_unlike(amount, columns[i]) for i, amount in numbers.items())
    counted = list(numbers.values()) == list(range(len(first))) and len(first) > 2
    others = any(_counts_up([number(cell) for cell in row]) for row in below) and not texts
    new = all(first[i] not in columns[i] for i in texts)
    is_header_row = over_numbers or (not others and new and (counted or 2 * unlike >= len(numbers)))
    if is_header_row:
        _log.warning("%s: its first row, %s, is read as a header; --no-header (header=False): as data", source, shown)
    elif counted or unlike:
        _log.warning("%s: its first row, %s, is read as data; --header (header=True): as a header", source, shown)
    return is_header_row


def _is_numbers(column: Sequence[str]) -> bool:
    cells = [cell for cell in column if cell.lower() not in MISSING]
    return bool(cells) and all(number(cell) is not None for cell in cells)


def _counts_up(amounts: Sequence[float | None]) -> bool:
    """Return whether the numbers rise by a constant step, or are rising years; a single one: 0 or a year."""
    integers = [int(amount) for amount in amounts if amount is not None and amount == amount and abs(amount) < 2**53]
    if not integers or len(integers) < len(amounts) or any(amount != int(amount) for amount in amounts if amount):
        return False
    if len(integers) == 1:
        return integers[0] == 0 or integers[0] in _YEARS
    steps = {after - before for before, after in pairwise(integers)}
    years = all(amount in _YEARS for amount in integers)
    return min(steps) > 0 and (years or steps == {1} or (len(steps) == 1 and len(integers) > 2))


def _is_unlike(amount: float, column: Sequence[str]) -> bool:
    """Return whether an integer cannot belong to a column: it is out of range, or the column has fractions."""
    amounts = [amount for amount in map(number, column) if amount is not None]
    if 2 * len(amounts) <= len(column) or any(amount != amount or amount % 1 for amount in amounts):
        return True
    return not min(amounts) <= amount <= max(amounts)
