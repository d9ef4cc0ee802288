"""Elements of a page: tables, details, the frame around them. All text is escaped."""

from collections.abc import Iterable, Sequence
from html import escape

_CELL = "padding:2px 10px 2px 0;text-align:{};white-space:nowrap;background:none"
_LINE = "border-bottom:1px solid rgba(128,128,128,.35)"
WRONG = "color:#e5484d;font-weight:bold"
"""Style of a row that is to be seen first."""


def table(head: Sequence[str], rows: Iterable[Sequence[str]], wrong: Iterable[int] = (), numbers: int = 1) -> str:
    """Return a table. ``wrong``: numbers of rows that stand out; the last ``numbers`` columns are right-aligned."""
    marked, sides = set(wrong), ["left"] * (len(head) - numbers) + ["right"] * numbers

    def line(cells: Sequence[str], tag: str, style: str) -> str:
        pairs = zip(cells, sides, strict=True)
        body = "".join(f'<{tag} style="{_CELL.format(side)}">{escape(cell)}</{tag}>' for cell, side in pairs)
        return f'<tr style="background:none;{style}">{body}</tr>'

    body = "".join(line(row, "td", WRONG if i in marked else "") for i, row in enumerate(rows))
    return (
        f'<table style="border-collapse:collapse;font-size:13px;margin:4px 0">{line(head, "th", _LINE)}{body}</table>'
    )


def text(content: str, style: str = "") -> str:
    """Return a paragraph."""
    return f'<div style="margin:4px 0;{style}">{escape(content)}</div>'


def details(summary: str, content: str) -> str:
    """Return HTML that a click on the summary shows."""
    return f"<details><summary>{escape(summary)}</summary>{content}</details>"


def frame(title: str, *parts: str) -> str:
    """Return the parts of one object below its title."""
    style = "color:inherit;overflow-x:auto;font-size:13px"
    return f'<div style="{style}"><div><strong>{escape(title)}</strong></div>{"".join(parts)}</div>'
