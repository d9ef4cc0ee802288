"""Data frames of pandas, polars, pyarrow and what else narwhals reads: named columns to one array, or to a table."""

from typing import Any, TypeAlias

import numpy as np

from portnn.data.tables import Table
from portnn.errors import DataError, DTypeError

Names: TypeAlias = tuple[str, ...] | None
"""Names of columns; None where there are none, or not all of them are texts."""


def is_frame(obj: object) -> bool:
    """Return whether ``obj`` is a data frame that holds its columns (a lazy one has still to collect them)."""
    kind = type(obj)
    return hasattr(kind, "columns") and not hasattr(kind, "collect") and not isinstance(obj, np.ndarray)


def names_of(obj: object) -> Names:
    """Return the names of a data frame's columns."""
    names = tuple(_labels(obj)) if is_frame(obj) else ()
    return names if names and all(isinstance(name, str) for name in names) else None


def _labels(frame: Any) -> list[Any]:
    return list(frame.column_names if hasattr(frame, "column_names") else frame.columns)  # pyarrow; pandas, polars


def _ordered(argument: str, frame: Any, expected: Names) -> list[Any]:
    """Return the labels of the columns, in the order of ``expected`` where both have names. Raises DataError."""
    labels = _labels(frame)
    if len(set(labels)) < len(labels):
        raise DataError(f"{argument}: expected different columns; got {max(labels, key=labels.count)!r} twice")
    if expected is None or names_of(frame) is None:
        return labels
    missing = [name for name in expected if name not in labels]
    unknown = [name for name in labels if name not in expected]
    if missing or unknown:
        found = [f"without {', '.join(map(repr, missing[:6]))}"] if missing else []
        found += [f"with {', '.join(map(repr, unknown[:6]))} beside them"] if unknown else []
        raise DataError(f"{argument}: expected the columns it was trained on; got them {' and '.join(found)}")
    return list(expected)


def frame_array(argument: str, frame: Any, expected: Names) -> np.ndarray:
    """Return a data frame as (rows, columns), in the order of the names ``expected`` where both have names.

    Raises DataError for columns that are missing, not known or there twice, and for gaps; DTypeError for columns that
    are not numbers.
    """
    labels = _ordered(argument, frame, expected)
    columns = [series_array(f"{argument}, column {label!r}", frame[label]) for label in labels]
    return np.stack(columns, axis=1) if columns else np.empty((len(frame), 0))


def frame_table(argument: str, frame: Any, expected: Names = None) -> Table:
    """Return a data frame's columns as they are: numbers (NaN where there is none), texts ("") or datetime64 (NaT)."""
    labels = _ordered(argument, frame, expected)
    return Table(argument, {str(label): _cells(frame[label]) for label in labels}, header=True)


def _series(series: Any) -> Any:
    import narwhals as nw

    return nw.from_native(series, series_only=True)


def series_array(argument: str, series: Any) -> np.ndarray:
    """Return one column as (rows,) real numbers. Gaps of a nullable column have no number: DataError."""
    column = _series(series)
    kind = column.dtype
    if not (kind.is_numeric() or str(kind) == "Boolean"):
        raise DTypeError(f"{argument}: expected real numbers; got dtype {getattr(series, 'dtype', kind)}")
    if gaps := column.null_count():
        values = np.asarray(column.to_numpy())
        if values.dtype.kind == "f" and not _nullable(series):  # pandas' NaN: refused with its row, as in arrays
            return values
        raise DataError(f"{argument}: expected a value in every row; got {gaps} of {len(column)} missing")
    values = np.asarray(column.to_numpy())
    if values.dtype.kind not in "biuf":
        raise DTypeError(f"{argument}: expected real numbers; got dtype {getattr(series, 'dtype', kind)}")
    return values


def _nullable(series: Any) -> bool:
    return not isinstance(getattr(series, "dtype", None), np.dtype)


def series_texts(series: Any) -> np.ndarray | None:
    """Return a column of texts or categories as an array of texts, "" where there is none; None for any other."""
    column = _series(series)
    if column.dtype.is_numeric() or column.dtype.is_temporal() or str(column.dtype) == "Boolean":
        return None
    return _texts(column)


def _texts(column: Any) -> np.ndarray:
    return np.array(["" if value is None or value != value else str(value) for value in column.to_list()])


def _cells(series: Any) -> np.ndarray:
    import narwhals as nw

    column = _series(series)
    kind = column.dtype
    if kind.is_numeric() or kind == nw.Boolean:
        return np.asarray(column.cast(nw.Float64).to_numpy(), np.float64)
    if kind.is_temporal() and kind in (nw.Date, nw.Datetime):
        if getattr(kind, "time_zone", None):
            column = column.dt.convert_time_zone("UTC").dt.replace_time_zone(None)
        return np.asarray(column.to_numpy()).astype("datetime64[ms]")
    return _texts(column)
