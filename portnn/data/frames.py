"""Convert data frames of pandas, polars, pyarrow and others that narwhals reads to an array or a ``Table``."""

from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from portnn.errors import DataError, DTypeError
from portnn.io.categories import as_text, typed_cells
from portnn.io.tables import Names, Table


def is_frame(obj: object) -> bool:
    """Return whether ``obj`` is a ``Table`` or an eager data frame; a lazy frame must be collected first."""
    kind = type(obj)
    frame = hasattr(kind, "columns") and not hasattr(kind, "collect") and not isinstance(obj, np.ndarray)
    return frame or isinstance(obj, Table)


def is_column(obj: object) -> bool:
    """Return whether ``obj`` is one column of a data frame, alone or as a frame."""
    return len(_labels(obj)) == 1 if is_frame(obj) else hasattr(obj, "to_numpy")


def names_of(obj: object) -> Names:
    """Return the names of a frame's columns, or of a named single column, as texts."""
    if is_frame(obj):
        return tuple(map(_name, _labels(obj)))
    name = getattr(obj, "name", None) if hasattr(obj, "to_numpy") else None
    return None if name is None or _name(name) == "" else (_name(name),)


def _name(label: Any) -> str:
    return as_text(label).strip()


def _labels(frame: Any) -> list[Any]:
    return list(frame.column_names if hasattr(frame, "column_names") else frame.columns)  # pyarrow; pandas, polars


def _is_unnamed(frame: Any, labels: Sequence[Any]) -> bool:
    """Return whether the names are positions (0, 1, ...), which pandas or a reader gives to columns without names."""
    if isinstance(frame, Table):
        return not frame.header
    return all(type(label) is int and label == i for i, label in enumerate(labels))


def arranged(argument: str, frame: Any, expected: Names, needed: Iterable[str] | None = None) -> dict[str, Any]:
    """Return {name: label in the frame} of the columns that are needed, in the order of ``expected``.

    ``needed``: by default all of ``expected``; the others may be missing. Without ``expected``, or if the frame has no
    names of its own but as many columns, the frame's order counts. Raises DataError for missing, unknown and duplicate
    columns.
    """
    labels = _labels(frame)
    names = [_name(label) for label in labels]
    argument = frame.source if isinstance(frame, Table) else argument
    if len(set(names)) < len(names):
        raise DataError(f"{argument}: expected different columns; got {max(names, key=names.count)!r} twice")
    label_of = dict(zip(names, labels, strict=True))
    if expected is None:
        return label_of
    required = list(expected if needed is None else needed)
    missing = [name for name in required if name not in label_of]
    unknown = [name for name in names if name not in expected]
    if (missing or unknown) and _is_unnamed(frame, labels) and len(labels) == len(expected):
        label_of, missing, unknown = dict(zip(expected, labels, strict=True)), [], []
    if missing or unknown:
        problems = [f"without {', '.join(map(repr, missing[:6]))}"] if missing else []
        problems += [f"with {', '.join(map(repr, unknown[:6]))} beside them"] if unknown else []
        raise DataError(f"{argument}: expected the columns it was trained on; got them {' and '.join(problems)}")
    return {name: label_of[name] for name in required}


def check_aligned(argument: str, given: Any, x: Any) -> None:
    """Raise DataError if the index of ``given`` is x's in another order: rows are matched by position.

    Other differences between the indices are allowed: a filter or a reset makes them.
    """
    own: Any = getattr(given, "index", None)
    other: Any = getattr(x, "index", None)
    if not (hasattr(own, "symmetric_difference") and hasattr(other, "symmetric_difference")):
        return
    if len(own) == len(other) and not own.equals(other) and own.symmetric_difference(other, sort=False).empty:
        raise DataError(
            f"{argument}: expected its rows in the order of x's index; got the same labels in another order: take "
            f".loc[x.index], or to_numpy() to match by position"
        )


def frame_array(argument: str, frame: Any, expected: Names = None) -> np.ndarray:
    """Return a frame of numbers as (rows, columns), in the order of the names ``expected`` if given.

    Raises DataError for missing, unknown and duplicate columns and for missing values; DTypeError (DataError in a file)
    for columns that are not numbers.
    """
    labels = arranged(argument, frame, expected)
    if isinstance(frame, Table):
        return frame.numbers(list(labels.values()))
    columns = [series_array(f"{argument}, column {name!r}", frame[label]) for name, label in labels.items()]
    return np.stack(columns, axis=1) if columns else np.empty((len(frame), 0))


def frame_table(argument: str, frame: Any, expected: Names = None, needed: Iterable[str] | None = None) -> Table:
    """Return a frame's columns with their dtypes: numbers (NaN: missing), bools, texts (""), datetime64 (NaT)."""
    labels = arranged(argument, frame, expected, needed)
    if isinstance(frame, Table):
        columns = {name: frame.columns[label] for name, label in labels.items()}
        name_of = {label: name for name, label in labels.items()}
        fields = tuple(name_of.get(field, "") for field in frame.fields)
        return replace(frame, columns=columns, fields=fields)
    zoned = frozenset(name for name, label in labels.items() if _zone(frame[label]))
    unnamed = _is_unnamed(frame, _labels(frame))
    columns = {name: column_cells(frame[label]) for name, label in labels.items()}
    return Table(argument, columns, header=not unnamed, zoned=zoned)


def _series(series: Any) -> Any:
    import narwhals as nw

    return nw.from_native(series, series_only=True)


def rows_of(data: Any, rows: np.ndarray) -> Any:
    """Return some of the rows of a data frame or of one of its columns."""
    import narwhals as nw

    return nw.from_native(data, allow_series=True)[rows.tolist()].to_native()


def series_array(argument: str, series: Any) -> np.ndarray:
    """Return one column as (rows,) real numbers. Raises DataError for missing values of a nullable column."""
    column = _series(series)
    kind = column.dtype
    if not (kind.is_numeric() or str(kind) == "Boolean"):
        cells = column_cells(series)  # columns of objects or texts may hold numbers or bools
        if cells.dtype.kind in "bf" and not np.isnan(cells).any():
            return cells
        raise DTypeError(f"{argument}: expected real numbers; got dtype {getattr(series, 'dtype', kind)}")
    if n_missing := column.null_count():
        values = np.asarray(column.to_numpy())
        if values.dtype.kind == "f" and not _nullable(
            series
        ):  # the check of finite numbers refuses pandas' NaN, with its row
            return values
        raise DataError(f"{argument}: expected a value in every row; got {n_missing} of {len(column)} missing")
    values = np.asarray(column.to_numpy())
    if values.dtype.kind not in "biuf":
        raise DTypeError(f"{argument}: expected real numbers; got dtype {getattr(series, 'dtype', kind)}")
    return values


def _nullable(series: Any) -> bool:
    return not isinstance(getattr(series, "dtype", None), np.dtype)


def objects_of(data: Any) -> list[Any] | None:
    """Return the values of a single column of texts, categories or objects, or None."""
    if isinstance(data, Table):
        (cells, *others) = data.columns.values()
        return None if others or cells.dtype.kind not in "UO" else list(cells.tolist())
    if is_frame(data):
        labels = _labels(data)
        return objects_of(data[labels[0]]) if len(labels) == 1 else None
    if not hasattr(data, "to_numpy"):
        return None
    column = _series(data)
    if column.dtype.is_numeric() or column.dtype.is_temporal() or str(column.dtype) == "Boolean":
        return None
    return _values(column)


def _zone(series: Any) -> bool:
    return bool(getattr(_series(series).dtype, "time_zone", None))


def column_cells(series: Any) -> np.ndarray:
    """Return one column as numbers, bools, datetime64 in UTC, or texts."""
    import narwhals as nw

    column = _series(series)
    kind = column.dtype
    if kind.is_numeric():
        return np.asarray(column.cast(nw.Float64).to_numpy(), np.float64)
    if kind.is_temporal() and kind in (nw.Date, nw.Datetime):
        if getattr(kind, "time_zone", None):
            column = column.dt.convert_time_zone("UTC").dt.replace_time_zone(None)
        return np.asarray(column.to_numpy()).astype("datetime64[ms]")
    from decimal import Decimal

    values = _values(column)
    numbers = int | float | np.integer | np.floating | Decimal
    if all(value is None or (isinstance(value, numbers) and not isinstance(value, bool)) for value in values):
        return np.array([np.nan if value is None else float(value) for value in values])
    return typed_cells(["" if value is None else as_text(value) for value in values])


def _values(column: Any) -> list[Any]:
    """Return a column's values as Python objects, None for missing ones."""
    pairs = zip(column.to_list(), column.is_null().to_list(), strict=True)
    return [None if missing or value != value else value for value, missing in pairs]
