"""The first layer's part in float64, before the cast to the network's dtype; statistics that layers are fitted to."""

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
    """Brings checked data to a backend, as a network's layers take them."""

    def __init__(self, backend: Backend, layer: Layer, weights: Mapping[str, np.ndarray], dtype: str) -> None:
        """Take the first layer and its buffers."""
        self._backend, self._dtype = backend, dtype
        self._layer = as_preprocessing(layer)
        self._weights = {key: value.astype(np.float64) for key, value in weights.items()}
        kind, plain = type(self._layer), PreprocessingLayer
        self._categorical = kind.num_categories is not plain.num_categories
        self._passes = kind.preprocess is plain.preprocess
        # Where the data are, if float64 is there too; else on the host. IEEE arithmetic, one operation at a time,
        # gives the same bits in either place.
        self._host = get_backend("numpy")
        self._on_host = backend.device.lower().startswith("cpu")
        self._wide = backend if "float64" in backend.dtypes() else self._host

    def __call__(
        self, x: Array, name: str = "x", check: bool = False, columns: Names = None, waits: bool = True
    ) -> Array:
        """Return x, (rows, \\*features) of the backend or of NumPy, on the backend, as the first layer takes it.

        ``check`` refuses what is not finite. What is no code of the first layer's is refused, but where ``waits`` is
        False and looking would wait for a device.
        """
        if self._categorical and (check or waits or isinstance(x, np.ndarray) or self._on_host):
            self._check_codes(name, to_host(self._backend, x), self._layer.num_categories(int(x.shape[-1])))
        if self._layer.input_dtype:
            return self._backend.asarray(x, self._layer.input_dtype)
        entered = self._numbers(x)
        if check:
            check_finite(self._backend, name, entered, self._dtype, columns)
        return entered

    def _check_codes(self, name: str, x: np.ndarray, limits: tuple[int, ...]) -> None:
        """Refuse what is no whole number below its limit in the last columns, one for each limit."""
        first = x.shape[-1] - len(limits)
        codes = x[..., first:]
        unknown = ~((codes >= 0) & (codes < np.array(limits)) & (codes == np.floor(codes)))
        if unknown.any():
            *rows, column = (int(i) for i in np.argwhere(unknown)[0])
            place = (*rows, first + column)
            raise DataError(
                f"{name}: expected whole numbers below {limits[column]} for {self._layer}; got {x[place]} at {place}"
            )

    def _numbers(self, x: Array) -> Array:
        if self._passes:
            return self._backend.asarray(x, self._dtype)
        place = self._wide if self._backend.owns(x) else self._host
        source = x if place.owns(x) else to_host(self._backend, x)
        weights = {key: place.asarray(value) for key, value in self._weights.items()}
        rows = int(source.shape[0])
        with place.scope():
            parts = [
                self._entered(place, weights, source[start : min(start + ROWS, rows), ...])
                for start in range(0, rows, ROWS)
            ]
            whole = parts[0] if len(parts) == 1 else place.xp.concat(parts)
        return self._backend.asarray(whole)

    def _entered(self, place: Backend, weights: Mapping[str, Array], block: Array) -> Array:
        return place.asarray(self._layer.preprocess(place.xp, weights, place.asarray(block, "float64")), self._dtype)


def fitted_buffers(
    model: FunctionalModel, backend: Backend, data: ValidatedData | ValidatedBatches
) -> dict[str, np.ndarray]:
    """Return by name the buffers that layers such as Standardize learn from the first data to train on.

    Raises DataError for data that teach nothing: a single row, NaN, targets that their dtype cannot tell apart.
    """
    buffers: dict[str, np.ndarray] = {}
    columns = data.columns if isinstance(data, ValidatedData) else None
    for i, layer in enumerate(map(as_preprocessing, model.architecture.layers)):
        if not layer.adapts_to:
            continue
        blocks = partial(data.blocks, backend, layer.adapts_to)
        counted, ends = 0, []
        for rows, _, first in blocks():
            check_finite(get_backend("numpy"), layer.adapts_to, rows, "float64", columns, first)
            counted += len(rows)
            ends.append((rows.min(axis=0), rows.max(axis=0)))
        if counted < 2:
            raise DataError("x: expected at least two rows to learn mean and deviation from; got 1")
        if layer.adapts_to == "y":  # which is in the network's dtype, as outputs are
            lows, highs = zip(*ends, strict=True)
            _check_resolved(np.min(lows, axis=0), np.max(highs, axis=0))
        fitted = layer.from_statistics(column_statistics(blocks))
        buffers |= {e.name: fitted[e.key].reshape(e.shape) for e in model.buffers.entries if e.layer == i}
    return buffers


def _check_resolved(lowest: np.ndarray, highest: np.ndarray) -> None:
    """Refuse targets, by column from lowest to highest, of which the dtype holds but a few different values."""
    spread, step = highest - lowest, np.spacing(np.maximum(np.abs(lowest), np.abs(highest)))
    for column in np.flatnonzero((spread > 0) & (spread < 16 * step)):
        raise DataError(
            f"y: expected targets that {lowest.dtype} can tell apart; column {column} varies by {spread[column]:.3g} "
            f"around {highest[column]:.3g}, where it has steps of {step[column]:.3g}: subtract an offset, or use a "
            f"wider dtype"
        )
