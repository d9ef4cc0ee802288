"""From what the user hands in to arrays that the core can take: checked once, at the public edge."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np

from portnn.backend import Backend, host_array
from portnn.errors import DataError, DTypeError, ShapeError
from portnn.nn.losses import Loss
from portnn.types import Array, Namespace


def _real(backend: Backend, argument: str, value: object) -> Array:
    """Return ``value`` as the library's array or NumPy's; refuse what is not real numbers."""
    array: Array = value if backend.owns(value) else host_array(value)
    kind = _kind(array)
    if kind not in ("bool", "int", "float"):
        raise DTypeError(f"{argument}: expected real numbers; got dtype {array.dtype}")
    return array


def _kind(array: Array) -> str:
    name = getattr(array.dtype, "name", str(array.dtype))  # str() of a NumPy dtype of foreign byte order is ">f4"
    for kind in ("complex", "bool", "int", "float"):
        if kind in name:
            return kind
    return name


def _finite(backend: Backend, argument: str, array: Array, dtype: str) -> None:
    xp = backend.xp
    if not bool(xp.all(xp.isfinite(array))):
        raise DataError(f"{argument}: expected finite numbers within {dtype}'s range; got NaN or infinity")


def features(
    backend: Backend, x: object, shape: tuple[int, ...] | None, dtype: str, check: bool, name: str = "x"
) -> Array:
    """Return x as (rows, \\*shape) of the dtype on the backend; ``check`` refuses NaN and infinity."""
    array = _real(backend, name, x)
    if array.ndim < 2:
        raise ShapeError(
            f"{name}: expected (rows, features); got shape {tuple(array.shape)}. "
            f"For one row pass [row], for one feature reshape to (rows, 1)"
        )
    if shape is not None and tuple(array.shape[1:]) != shape:
        raise ShapeError(f"{name}: expected (rows, {', '.join(map(str, shape))}); got shape {tuple(array.shape)}")
    if array.shape[0] == 0 or 0 in array.shape:
        raise DataError(f"{name}: expected at least one row and one feature; got shape {tuple(array.shape)}")
    result = backend.asarray(array, dtype)
    if check:
        _finite(backend, name, result, dtype)
    return result


def target_width(backend: Backend, y: object, loss: Loss) -> int:
    """Return how many outputs the targets ask for, when no width was given."""
    array = _real(backend, "y", y)
    if array.ndim == 2 and (array.shape[1] > 1 or not loss.labels):
        return int(array.shape[1])
    if not loss.labels:
        return 1
    return int(np.max(backend_to_host(backend, array))) + 1 if array.shape[0] else 1


def backend_to_host(backend: Backend, array: Array) -> np.ndarray:
    """Return an array of the backend or of NumPy as NumPy's."""
    return backend.to_numpy(array) if backend.owns(array) else host_array(array)


def targets(
    backend: Backend,
    y: object,
    rows: int,
    width: int,
    loss: Loss,
    named: bool,
    dtype: str,
    check: bool,
    name: str = "y",
) -> Array:
    """Return y as (rows, width) values of the dtype, or (rows,) int32 labels where the loss takes them.

    ``named``: whether the user named the loss. ``check`` refuses NaN, infinity and labels out of range; labels
    that are still on the host are checked in any case.
    """
    array = _real(backend, name, y)
    shape, kind = tuple(array.shape), _kind(array)
    if shape[:1] != (rows,):
        raise ShapeError(f"{name}: expected {rows} rows, as many as x; got shape {shape}")
    if not named and kind != "float":
        raise DTypeError(
            f'{name}: integer targets need a named loss: loss="cross_entropy" with output="softmax" for class labels, '
            f'loss="mse" for numbers; got dtype {array.dtype} and no loss'
        )
    if loss.labels and (len(shape) == 1 or (shape == (rows, 1) and width > 1)):
        if kind == "float":
            raise DTypeError(f"{name}: expected integer class labels or one column per class; got dtype {array.dtype}")
        if check or isinstance(array, np.ndarray):
            labels = backend_to_host(backend, array)
            low, high = int(labels.min()), int(labels.max())
            if low < 0 or high >= width:
                raise DataError(f"{name}: expected labels in 0..{width - 1}; got {low if low < 0 else high}")
        xp = backend.xp
        return xp.reshape(backend.asarray(array, "int32"), (rows,))
    if shape == (rows,) and width == 1:
        shape = (rows, 1)
    if shape != (rows, width):
        raise ShapeError(f"{name}: expected shape ({rows}, {width}); got {tuple(array.shape)}")
    result = backend.xp.reshape(backend.asarray(array, dtype), shape)
    if check:
        _finite(backend, name, result, dtype)
        if loss.pair is not None:
            _probabilities(backend, name, result, loss)
    return result


def _probabilities(backend: Backend, name: str, y: Array, loss: Loss) -> None:
    xp = backend.xp
    if not bool(xp.all((y >= 0) & (y <= 1))):
        raise DataError(f"{name}: expected targets in [0, 1]; got values outside")
    if loss.labels:
        # A row of k numbers rounded to the dtype sums to 1 within k units of rounding.
        bound = y.shape[1] * float(xp.finfo(y.dtype).eps)
        if not bool(xp.all(xp.abs(xp.sum(y, axis=1) - 1.0) <= bound)):
            raise DataError(f"{name}: expected one distribution per row; got rows that do not sum to 1")


Batch: TypeAlias = tuple[Array, Array, Any]
"""(x, y, weight): the weight is a number, or one per row, (batch, 1)."""


@dataclass(frozen=True)
class Dataset:
    """Checked data on one backend."""

    x: Array
    y: Array
    weight: Array | None
    """One weight per row, (rows, 1), or None."""

    @property
    def rows(self) -> int:
        return int(self.x.shape[0])

    def take(self, xp: Namespace, index: Array) -> "Dataset":
        """Return the rows of the given indices."""
        return Dataset(*(None if a is None else xp.take(a, index, axis=0) for a in (self.x, self.y, self.weight)))

    def batches(self, xp: Namespace, size: int, order: Array | None, mean: bool) -> Iterator[Batch]:
        """Yield (x, y, weight) in rows of ``size``, in the order of the indices or as they stand."""
        for start in range(0, self.rows, size):
            stop = min(start + size, self.rows)
            scale = 1.0 / (stop - start) if mean else 1.0

            def rows(array: Array, start: int = start, stop: int = stop) -> Array:
                return array[start:stop, ...] if order is None else xp.take(array, order[start:stop], axis=0)

            yield rows(self.x), rows(self.y), scale if self.weight is None else rows(self.weight) * scale


def row_weights(backend: Backend, weight: object, rows: int, dtype: str, mean: bool) -> Array:
    """Return sample weights as (rows, 1); for a mean loss scaled to a mean of one."""
    values = host_array(weight).astype(np.float64)
    if values.shape != (rows,):
        raise ShapeError(f"sample_weight: expected shape ({rows},); got {values.shape}")
    if not np.all(np.isfinite(values)) or values.min() < 0 or values.sum() == 0:
        raise DataError("sample_weight: expected finite numbers, none below 0 and not all 0")
    return backend.asarray((values / values.mean() if mean else values)[:, None], dtype)


def column_statistics(x: np.ndarray, block: int = 4096) -> tuple[np.ndarray, np.ndarray]:
    """Return (mean, standard deviation) of each column, in float64; 1 where a column never varies.

    Two passes over blocks of rows, on the host: the same bits for every backend, and no float64 copy of x.
    """
    blocks = [x[i : i + block] for i in range(0, x.shape[0], block)]
    mean = sum(np.sum(b, axis=0, dtype=np.float64) for b in blocks) / x.shape[0]
    variance = sum(np.sum((b - mean) ** 2, axis=0) for b in blocks) / x.shape[0]
    # A constant feature's variance is rounding noise of its mean, at most (rows eps mean)².
    constant = variance <= (x.shape[0] * np.finfo(np.float64).eps * np.abs(mean)) ** 2
    return mean, np.sqrt(np.where(constant, 1.0, variance))
