"""The first layer's preprocessing, in float64 before the cast to the network's dtype, and the statistics for it."""

from collections.abc import Mapping
from functools import partial

import numpy as np

from portnn.backend import Backend, get_backend
from portnn.data.arrays import check_finite, to_host
from portnn.data.batches import ValidatedBatches
from portnn.data.dataset import ROWS, ValidatedData, column_statistics
from portnn.errors import DataError
from portnn.io.tables import Names
from portnn.model.step import FunctionalModel
from portnn.nn.layer import Layer, PreprocessingLayer, as_preprocessing
from portnn.types import Array


class Preprocessor:
    """Preprocesses validated data and moves them to a backend."""

    def __init__(self, backend: Backend, layer: Layer, weights: Mapping[str, np.ndarray], dtype: str) -> None:
        """Hold the first layer and its buffers (``weights``)."""
        self._backend, self._dtype = backend, dtype
        self._layer = as_preprocessing(layer)
        self._weights = {key: value.astype(np.float64) for key, value in weights.items()}
        cls, base = type(self._layer), PreprocessingLayer
        self._categorical = cls.num_categories is not base.num_categories
        self._is_identity = cls.preprocess is base.preprocess
        # Preprocessing runs on the data's device if it has float64, else on the host. IEEE arithmetic, one operation
        # at a time, gives the same bits on both.
        self._host = get_backend("numpy")
        self._on_host = backend.device.lower().startswith("cpu")
        self._float64_backend = backend if "float64" in backend.dtypes() else self._host

    def __call__(
        self, x: Array, name: str = "x", check: bool = False, columns: Names = None, waits: bool = True, first: int = 0
    ) -> Array:
        """Return x, (rows, \\*features) of the backend or of NumPy, preprocessed, on the backend, in the dtype.

        ``check`` refuses NaN and infinity, on the host if x is there: no device is waited for. Codes out of range are
        refused; with ``waits=False`` only where the check does not wait for a device. ``first``: the number of x's row
        0 in messages.
        """
        if self._categorical and (check or waits or isinstance(x, np.ndarray) or self._on_host):
            self._check_codes(name, to_host(self._backend, x), self._layer.num_categories(int(x.shape[-1])), first)
        if self._layer.input_dtype:
            return self._backend.asarray(x, self._layer.input_dtype)
        x = self._in_dtype(x)
        if check:
            check_finite(self._backend if self._backend.owns(x) else self._host, name, x, self._dtype, columns, first)
        return self._backend.asarray(x)

    def _check_codes(self, name: str, x: np.ndarray, limits: tuple[int, ...], start: int) -> None:
        """Refuse codes that are not whole numbers below their limit; the last columns hold them, one per limit."""
        first = x.shape[-1] - len(limits)
        codes = x[..., first:]
        unknown = ~((codes >= 0) & (codes < np.array(limits)) & (codes == np.floor(codes)))
        if unknown.any():
            *rows, column = (int(i) for i in np.argwhere(unknown)[0])
            index = (*rows, first + column)
            location = (start + index[0], *index[1:])
            raise DataError(
                f"{name}: expected whole numbers below {limits[column]} for {self._layer}; got {x[index]} at {location}"
            )

    def _in_dtype(self, x: Array) -> Array:
        """Return x preprocessed, in the dtype, on the backend or on the host."""
        if self._is_identity:
            return (self._backend if self._backend.owns(x) else self._host).asarray(x, self._dtype)
        backend = self._float64_backend if self._backend.owns(x) else self._host
        source = x if backend.owns(x) else to_host(self._backend, x)
        weights = {key: backend.asarray(value) for key, value in self._weights.items()}
        rows = int(source.shape[0])
        with backend.scope():
            parts = [
                self._preprocess(backend, weights, source[start : min(start + ROWS, rows), ...])
                for start in range(0, rows, ROWS)
            ]
            return parts[0] if len(parts) == 1 else backend.xp.concat(parts)

    def _preprocess(self, backend: Backend, weights: Mapping[str, Array], block: Array) -> Array:
        x = self._layer.preprocess(backend.xp, weights, backend.asarray(block, "float64"))
        return backend.asarray(x, self._dtype)


def fitted_buffers(
    model: FunctionalModel, backend: Backend, data: ValidatedData | ValidatedBatches
) -> dict[str, np.ndarray]:
    """Return by name the buffers that layers such as Standardize take from the first training data.

    Raises DataError for data without statistics: a single row, NaN, targets that their dtype cannot tell apart.
    """
    buffers: dict[str, np.ndarray] = {}
    columns = data.columns if isinstance(data, ValidatedData) else None
    for i, layer in enumerate(map(as_preprocessing, model.architecture.layers)):
        if not layer.adapts_to:
            continue
        blocks = partial(data.blocks, backend, layer.adapts_to)
        n_rows, ends = 0, []
        for rows, _, first in blocks():
            check_finite(get_backend("numpy"), layer.adapts_to, rows, "float64", columns, first)
            n_rows += len(rows)
            ends.append((rows.min(axis=0), rows.max(axis=0)))
        if n_rows < 2:
            raise DataError("x: expected at least two rows for mean and standard deviation; got 1")
        if layer.adapts_to == "y":  # which is in the network's dtype, as outputs are
            lows, highs = zip(*ends, strict=True)
            _check_resolved(np.min(lows, axis=0), np.max(highs, axis=0))
        values = layer.from_statistics(column_statistics(blocks))
        buffers |= {t.name: values[t.key].reshape(t.shape) for t in model.buffers.tensors if t.layer == i}
    return buffers


def _check_resolved(lowest: np.ndarray, highest: np.ndarray) -> None:
    """Refuse targets whose dtype has fewer than 16 values between the lowest and the highest of a column."""
    spread, step = highest - lowest, np.spacing(np.maximum(np.abs(lowest), np.abs(highest)))
    for column in np.flatnonzero((spread > 0) & (spread < 16 * step)):
        raise DataError(
            f"y: expected targets that {lowest.dtype} can tell apart; column {column} varies by {spread[column]:.3g} "
            f"around {highest[column]:.3g}, where it has steps of {step[column]:.3g}: subtract an offset, or use a "
            f"wider dtype"
        )
