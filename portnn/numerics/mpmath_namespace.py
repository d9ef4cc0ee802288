"""The mpmath namespace: array functions on numbers of fifty digits, the reference for float64.

Floating arrays are NumPy object arrays of mpmath numbers; integers and bools are NumPy's own. A float is converted
exactly.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np

from portnn.errors import BackendUnavailableError
from portnn.ops import OPS, REGISTERED

DIGITS = 50


def context() -> Any:
    """Return a separate mpmath context with DIGITS digits. Raises BackendUnavailableError without mpmath."""
    try:
        import mpmath
    except ImportError as error:
        raise BackendUnavailableError("against: mpmath is not installed; pip install 'portnn[exact]'") from error
    mp_context = mpmath.mp.clone()
    mp_context.dps = DIGITS
    return mp_context


_REFERENCES = {op.name: op.reference for op in OPS if op.reference}


class MpmathNamespace:
    """The array API functions of the layers, on arrays of exact numbers."""

    int32 = np.dtype("int32")

    def __init__(self, dtype: Any) -> None:
        """``dtype``: that of the computation to judge, whose limits the layers ask for."""
        self._dtype, self._mp = np.dtype(dtype), context()
        # The judged dtype is that of exact numbers; the other one is NumPy's.
        kinds = (np.dtype(object) if name == self._dtype else np.dtype(name) for name in ("float32", "float64"))
        self.float32, self.float64 = kinds
        self._number = np.frompyfunc(lambda value: self._mp.mpf(float(value)), 1, 1)

    def __getattr__(self, name: str) -> Any:
        reference = _REFERENCES.get(name) or (REGISTERED[name].reference if name in REGISTERED else "")
        if not reference:
            raise AttributeError(f"mpmath: xp.{name} is not a function that layers may use")
        function = np.frompyfunc(getattr(self._mp, reference), 1, 1)
        return lambda x: np.asarray(function(x), object)

    def exact(self, array: Any) -> Any:
        """Return floats as exact numbers, integers unchanged."""
        array = np.asarray(array)
        return np.asarray(self._number(array), object) if array.dtype.kind == "f" else array

    def arange(self, *arguments: Any, dtype: Any) -> np.ndarray:
        return self.astype(np.arange(*arguments), dtype)

    def astype(self, x: np.ndarray, dtype: Any) -> np.ndarray:
        if np.dtype(dtype).kind != "O":
            return x.astype(dtype)
        return x if x.dtype.kind == "O" else np.asarray(self._number(x), object)

    def asarray(self, values: Sequence[float], *, dtype: Any) -> np.ndarray:
        return self.astype(np.asarray(values), dtype)

    def finfo(self, dtype: Any) -> Any:
        return np.finfo(self._dtype)

    def reshape(self, x: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
        return np.reshape(x, shape)

    def expand_dims(self, x: np.ndarray, axis: int) -> np.ndarray:
        return np.expand_dims(x, axis)

    def matrix_transpose(self, x: np.ndarray) -> np.ndarray:
        return x.mT

    def concat(self, arrays: Sequence[np.ndarray], *, axis: int = 0) -> np.ndarray:
        return np.concatenate(arrays, axis)

    def take(self, x: np.ndarray, indices: np.ndarray, *, axis: int) -> np.ndarray:
        return np.take(x, indices, axis)

    def negative(self, x: np.ndarray) -> np.ndarray:
        return np.asarray(-x, object)

    def abs(self, x: np.ndarray) -> np.ndarray:
        return np.asarray(abs(x), object)

    def max(self, x: np.ndarray, *, axis: Any = None, keepdims: bool = False) -> np.ndarray:
        return np.asarray(np.max(x, axis=axis, keepdims=keepdims), object)

    def maximum(self, x: np.ndarray, other: float) -> np.ndarray:
        return np.asarray(np.maximum(x, other), object)

    def minimum(self, x: np.ndarray, other: float) -> np.ndarray:
        return np.asarray(np.minimum(x, other), object)

    def sum(self, x: np.ndarray, *, axis: Any = None, keepdims: bool = False) -> np.ndarray:
        return np.asarray(np.sum(x, axis=axis, keepdims=keepdims), object)

    def matmul(self, a: np.ndarray, b: np.ndarray) -> np.ndarray:
        if max(a.ndim, b.ndim) > 2:
            stack = np.broadcast_shapes(a.shape[:-2], b.shape[:-2])
            pairs = (np.broadcast_to(x, (*stack, *x.shape[-2:])).reshape(-1, *x.shape[-2:]) for x in (a, b))
            products = [self.matmul(*pair) for pair in zip(*pairs, strict=True)]
            return np.array(products, object).reshape(*stack, a.shape[-2], b.shape[-1])
        columns = b.T.tolist()
        rows = [[self._mp.fdot(row, column) for column in columns] for row in a.tolist()]
        return np.array(rows, object).reshape(a.shape[0], b.shape[1])
