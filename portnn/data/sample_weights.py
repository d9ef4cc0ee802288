"""Sample weights: one per row, or by class."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from portnn.backend import Backend, host_array
from portnn.data.arrays import dtype_kind, to_host
from portnn.errors import ArgumentError, DataError, DTypeError, ShapeError
from portnn.io.categories import Label
from portnn.options import lookup
from portnn.types import Array


def sample_weights(
    weight: Any, rows: int, backend: Backend, y: Array, classes: tuple[Label, ...] | None
) -> np.ndarray | None:
    """Return sample weights as (rows,) float64: the user's, or each row's weight by its class."""
    if weight is None:
        return None
    if isinstance(weight, str | Mapping):
        weight = _of_classes(weight, to_host(backend, y), classes)
    values = host_array(weight, argument="sample_weight")
    if dtype_kind(values) not in ("bool", "int", "float"):
        raise DTypeError(f"sample_weight: expected real numbers; got dtype {values.dtype}")
    values = values.astype(np.float64)
    if values.shape != (rows,):
        raise ShapeError(f"sample_weight: expected shape ({rows},); got {values.shape}")
    if not np.all(np.isfinite(values)) or values.min() < 0 or not values.any():
        raise DataError("sample_weight: expected finite numbers, none below 0 and not all 0")
    return values


def _of_classes(weight: str | Mapping[Any, Any], y: np.ndarray, names: tuple[Label, ...] | None) -> np.ndarray:
    """Return each row's weight by its class: a mapping's, or "balanced", rows / (classes * rows of the class).

    ``names``: the labels of the classes, if y holds their indices.
    """
    if (
        names is not None and y.shape[1:] == (1,) and np.isin(y, range(len(names))).all()
    ):  # the output is a single sigmoid
        y = y[:, 0].astype(np.int32)
    if y.ndim != 1:
        raise ArgumentError("sample_weight: weights of classes need class labels; got targets that are values")
    codes, classes, counts = np.unique(y, return_inverse=True, return_counts=True)
    if not isinstance(weight, Mapping):
        lookup("sample_weight", weight, {"balanced": None})
        return np.asarray((len(y) / (len(codes) * counts))[classes])
    labels = [code if names is None else names[code] for code in codes.tolist()]
    if missing := [label for label in labels if label not in weight]:
        raise DataError(f"sample_weight: expected a weight for each class; got none for {missing[0]}")
    return np.asarray([weight[label] for label in labels])[classes]
