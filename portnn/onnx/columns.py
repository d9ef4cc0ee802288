"""Raw tables in a file: one input per column, and the encoding of each as ``Encoding.encoded`` computes it."""

from collections.abc import Mapping
from itertools import product
from math import pi

import numpy as np
from onnx import TensorProto, ValueInfoProto, helper

from portnn.data.encoding import Column, Encoding
from portnn.io.categories import MISSING
from portnn.onnx.nodes import Nodes
from portnn.reproducible.elementary import cos
from portnn.types import Array, Namespace

ABSENT = -2
"""Code of a missing text; an unseen one has -1."""
_MEANING = {
    "number": "a number; NaN: missing",
    "bool": "0 or 1; NaN: missing",
    "date": "days since 1970-01-01, with the time of day as a fraction; NaN: missing",
    "instant": "days since 1970-01-01 in UTC, with the time of day as a fraction; NaN: missing",
    "text": "a text without spaces around it; an empty one, NA, null and the like: missing",
}


def inputs_of(encoding: Encoding) -> list[ValueInfoProto]:
    """Return the inputs, one per column, each (rows, 1): texts, or numbers in float64."""
    return [
        helper.make_tensor_value_info(
            column.name,
            TensorProto.STRING if column.kind == "text" else TensorProto.DOUBLE,
            ["rows", 1],
            doc_string=_MEANING[column.kind],
        )
        for column in encoding.columns
    ]


def cells_of(nodes: Nodes, column: Column) -> str:
    """Return the name of a column's cells as ``encoded`` takes them: a text's code, else the number."""
    if column.kind != "text":
        return column.name
    codes = dict.fromkeys(_spellings(), ABSENT) | {text: code for code, text in enumerate(column.values)}
    return nodes.add(
        "LabelEncoder",
        column.name,
        domain="ai.onnx.ml",
        keys_strings=list(codes),
        values_int64s=list(codes.values()),
        default_int64=-1,
    )


def _spellings() -> list[str]:
    """Return the texts that mean a missing value, in all mixtures of small and capital letters."""
    return ["".join(letters) for text in MISSING for letters in product(*({c, c.upper()} for c in text))]


def encoded(xp: Namespace, encoding: Encoding, cells: Mapping[str, Array]) -> Array:
    """Return the features of the columns' cells, (rows, features), in float64."""
    parts, codes = [], []
    for column in encoding.columns:
        features = (_texts if column.kind == "text" else _numbers)(xp, column, cells[column.name])
        parts += features[: len(features) - column.coded]
        codes += features[len(features) - column.coded :]
    return xp.concat([*parts, *codes], axis=1)


def _numbers(xp: Namespace, column: Column, x: Array) -> list[Array]:
    """Return the number and what belongs to it, each (rows, columns)."""
    known = x == x
    gap = [1.0 - xp.astype(known, xp.float64)] if column.gaps else []
    circles = []
    if column.timed:
        days = xp.where(known, x, 0.0)
        hour = days - xp.floor(days)
        weekday = xp.floor(days) + 3.0  # the first of January 1970 was a Thursday
        share = (weekday - 7.0 * xp.floor(weekday / 7.0)) / 7.0
        phases = [part for turn in (hour, share) for part in (turn - 0.25, turn)]
        circles = [xp.where(known, cos(xp, 2.0 * pi * phase), 0.0) for phase in phases]
    return [xp.where(known, x, column.fill), *circles, *gap]


def _texts(xp: Namespace, column: Column, codes: Array) -> list[Array]:
    """Return the indicators or the code of a text's category, and whether the text is missing."""
    absent = codes == ABSENT
    gap = [xp.astype(absent, xp.float64)] if column.gaps else []
    if not column.values:
        return gap
    codes = xp.where(absent, xp.asarray([0], dtype=xp.int64), codes)
    if column.coded:
        return [*gap, xp.astype(codes, xp.float64) + 1.0]
    hot = xp.astype(codes == xp.arange(len(column.values), dtype=xp.int64), xp.float64)
    shares = xp.asarray(np.asarray(column.shares)[None, :].tolist(), dtype=xp.float64)
    return [xp.where(codes < 0, shares, hot), *gap]
