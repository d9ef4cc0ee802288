"""Data frames of pandas, polars and pyarrow: named columns to one array, each checked by its name."""

from typing import Any, TypeAlias

import numpy as np

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


def frame_array(argument: str, frame: Any, expected: Names) -> np.ndarray:
    """Return a data frame as (rows, columns), in the order of the names ``expected`` where both have names.

    Raises DataError for columns that are missing, not known or there twice, and for gaps; DTypeError for columns that
    are not numbers.
    """
    labels = _labels(frame)
    if len(set(labels)) < len(labels):
        raise DataError(f"{argument}: expected different columns; got {max(labels, key=labels.count)!r} twice")
    if expected is not None and names_of(frame) is not None:
        missing = [name for name in expected if name not in labels]
        unknown = [name for name in labels if name not in expected]
        if missing or unknown:
            found = [f"without {', '.join(map(repr, missing[:6]))}"] if missing else []
            found += [f"with {', '.join(map(repr, unknown[:6]))} beside them"] if unknown else []
            raise DataError(f"{argument}: expected the columns it was trained on; got them {' and '.join(found)}")
        labels = list(expected)
    columns = [series_array(f"{argument}, column {label!r}", frame[label]) for label in labels]
    return np.stack(columns, axis=1) if columns else np.empty((len(frame), 0))


def series_array(argument: str, series: Any) -> np.ndarray:
    """Return one column as (rows,) real numbers. Gaps of a nullable column have no number: DataError."""
    native = getattr(series.dtype if hasattr(series, "dtype") else None, "numpy_dtype", None)  # pandas' nullable ones
    if native is not None:
        gaps = int(series.isna().sum())
    else:
        count = getattr(series, "null_count", 0)  # polars: a method, pyarrow: a number
        gaps = int(count() if callable(count) else count)
    if gaps:
        raise DataError(f"{argument}: expected a value in every row; got {gaps} of {len(series)} missing")
    values = np.asarray(series.to_numpy() if native is None else series.to_numpy(dtype=native))
    if values.dtype.kind not in "biuf":
        raise DTypeError(f"{argument}: expected real numbers; got dtype {getattr(series, 'dtype', values.dtype)}")
    return values
