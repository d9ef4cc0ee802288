"""Class labels of targets, and rows without a target."""

import logging
from collections.abc import Mapping, Sequence
from typing import Any, cast

import numpy as np

from portnn.backend import backend_of, host_array, is_backend_array
from portnn.data.frames import column_cells, frame_table, is_frame, objects_of, rows_of
from portnn.data.memmap import mapping_of
from portnn.errors import DataError
from portnn.io.categories import MISSING, Categories, Label, as_text, number
from portnn.io.tables import FEW_CLASSES, Table

_log = logging.getLogger("portnn")


def labels_of(y: Any, name: str = "y") -> np.ndarray | None:
    """Return targets that are labels as (rows,) objects; None for an array of numbers.

    Labels are texts, and the values of a column or array of objects or categories. Raises DataError for a row without
    one.
    """
    values = objects_of(y)
    if values is None:
        array = isinstance(y, np.ndarray) and y.ndim == 1 and y.dtype.kind in "UO"
        if not (array or (isinstance(y, list | tuple) and len(y) and all(isinstance(label, str) for label in y))):
            return None
        values = list(y)
    labels = np.empty(len(values), object)
    labels[:] = [_label(value) for value in values]
    missing = [label for label in labels.tolist() if _is_missing(label)]
    if missing:
        problem = missing[0]
        shown = f" ({problem!r})" if problem else ""
        raise DataError(f"{name}: expected a value in every row; got {len(missing)} of {len(labels)} missing{shown}")
    return labels


def _label(value: Any) -> Label:
    if value is None or value != value:
        return ""
    value = value.item() if isinstance(value, np.generic) else value
    return value if isinstance(value, str | bool | int | float) else as_text(value)


def _is_missing(label: Label) -> bool:
    return isinstance(label, str) and label != "none" and label.lower() in MISSING


def classes_of(labels: np.ndarray, name: str) -> tuple[Label, ...]:
    """Return the distinct labels in order. Raises DataError for texts beside numbers."""
    distinct = set(labels.tolist())
    try:
        return tuple(sorted(distinct))
    except TypeError:
        raise DataError(f"{name}: expected labels of one kind; got texts beside numbers") from None


def codes_of(labels: np.ndarray, classes: Sequence[Label], name: str) -> np.ndarray:
    """Return the index of each label's class, (rows,) int32. Raises DataError for an unknown label."""
    codes = Categories(classes).codes(labels)
    if (codes < 0).any():
        names = [as_text(label) for label in classes]
        shown = ", ".join(names[:12]) + (", ..." if len(names) > 12 else "")
        raise DataError(f"{name}: expected the classes {shown}; got {labels.tolist()[int((codes < 0).argmax())]!r}")
    return codes.astype(np.int32)


def as_numbers(labels: np.ndarray, name: str) -> np.ndarray:
    """Return labels as numbers, (rows,) float64. Raises DataError for a label that is not a number."""
    numbers = np.empty(len(labels))
    for row, label in enumerate(labels.tolist()):
        amount = number(str(label))
        if amount is None:
            raise DataError(
                f"{name}: expected numbers, which the loss compares; got {label!r} in row {row}. Class labels need "
                f'loss="cross_entropy" with output="softmax", or "binary_cross_entropy" with "sigmoid"'
            )
        numbers[row] = amount
    return numbers


def look_like_classes(labels: np.ndarray) -> tuple[bool, str]:
    """Return whether a target holds class labels rather than numbers, and why, in words."""
    distinct = set(labels.tolist())
    if any(isinstance(label, str | bool) for label in distinct):
        return True, f"{len(distinct)} different texts"
    if len(distinct) <= min(FEW_CLASSES, len(labels) // 2) and all(label == int(label) for label in distinct):
        return True, f"{len(distinct)} different whole numbers"
    return False, f"{len(distinct)} different numbers"


def with_targets(x: Any, y: Any, weight: Any = None, name: str = "y") -> tuple[Any, Any, Any]:
    """Return data without the rows whose target, a column of a table, has no value; how many they are is logged.

    Raises DataError where no row has one, and for a memory map, which would have to be read.
    """
    if is_frame(y):
        table = frame_table(name, y)
    elif hasattr(y, "to_numpy"):
        table = Table(name, {"y": column_cells(y)}, header=False)
    else:
        return x, y, weight
    missing = np.any([table.missing(column) for column in table.columns], axis=0)
    count, rows = int(missing.sum()), len(missing)
    if not count:
        return x, y, weight
    if count == rows or mapping_of(x) is not None:
        raise DataError(f"{name}: expected a value in every row; got {count} of {rows} missing")
    _log.warning("%s: left out %d of %d rows, which have no value", name, count, rows)
    labelled = np.flatnonzero(~missing)
    weight_of_labelled = weight if weight is None or isinstance(weight, str | Mapping) else take(weight, labelled)
    return take(x, labelled), take(y, labelled), weight_of_labelled


def take(data: Any, rows: np.ndarray) -> Any:
    """Return some of the rows of an array of any library, a list, a frame or a column, of its own kind."""
    if isinstance(data, Table):
        return data.take(rows)
    if is_frame(data) or hasattr(data, "to_numpy"):
        return rows_of(data, rows)
    if is_backend_array(data):
        backend = backend_of(data)
        with backend.scope():
            return backend.xp.take(cast(Any, data), backend.asarray(rows), axis=0)
    return host_array(data)[rows]
