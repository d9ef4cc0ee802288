"""The comparison of a file with the network: onnxruntime's outputs beside NumPy's, within the rounding bound."""

from typing import Any

import numpy as np

from portnn.data.encoding import Column
from portnn.data.spec import DataSpec
from portnn.errors import SerializationError
from portnn.io.categories import as_text
from portnn.io.tables import Table
from portnn.model.runtime import Runtime
from portnn.model.step import State
from portnn.nn.embedding import Tabular
from portnn.nn.layer import as_preprocessing
from portnn.nn.preprocessing import Standardize
from portnn.numerics.bounds import BoundedArray, BoundingNamespace

ROWS = (1, 7, 333)


def compare(session: Any, runtime: Runtime, schema: DataSpec) -> None:
    """Raise SerializationError where onnxruntime's outputs differ from the network's by more than rounding."""
    for rows in ROWS:
        x, feed = samples(session, runtime, schema, rows)
        outputs, *others = session.run(None, feed)
        predicted = runtime.forward(runtime.inputs(schema.inputs(runtime.backend, x)))
        results = bounded(runtime, schema, x)
        predictions = others if len(results) > 1 else []
        for computed, (expected, bound) in zip((outputs, predicted, *predictions), (results[0], *results), strict=True):
            excess = np.abs(computed - expected) > bound
            if computed.shape != expected.shape or excess.any() or (np.isnan(computed) != np.isnan(expected)).any():
                row = int(np.argmax(excess.reshape(rows, -1).any(axis=1)))
                raise SerializationError(
                    f"onnx: expected the network's outputs within their rounding bound; got {computed[row]} for "
                    f"{expected[row]} in row {row} of {rows}; nothing was written"
                )
        if schema.classes is not None:
            single = outputs.shape[1] == 1
            codes = (outputs[:, 0] > 0.5).astype(np.int64) if single else outputs.argmax(axis=1)
            if others[-1].tolist() != [schema.classes[code] for code in codes]:
                raise SerializationError(f"onnx: expected the labels of the largest outputs; got {others[-1][:9]}")


def bounded(runtime: Runtime, schema: DataSpec, x: Any) -> list[tuple[np.ndarray, np.ndarray]]:
    """Return the true outputs, in float64, and a bound of the error of each in the network's dtype.

    A loss with an inverse link adds the predictions, likewise. A layer without a bound gets NumPy's own outputs, and a
    half of their digits.
    """
    inputs = runtime.inputs(schema.inputs(runtime.backend, x))
    state = State(*runtime.state)
    convert = BoundedArray.from_input
    try:
        bounded_state = State(convert(state.parameters), convert(state.buffers), ())
        with np.errstate(all="ignore"):
            xp = BoundingNamespace()
            results = _with_predictions(runtime, xp, runtime.model.forward(xp, bounded_state, convert(inputs)))
    except AttributeError:
        values = [np.asarray(a, np.float64) for a in _with_predictions(runtime, np, runtime.forward(inputs))]
        return [(value, np.finfo(runtime.dtype).eps ** 0.5 * np.maximum(1.0, np.abs(value))) for value in values]
    return [(a.value, a.error * (2.0 if runtime.dtype == "float64" else 1.0)) for a in results]


def _with_predictions(runtime: Runtime, xp: Any, outputs: Any) -> list[Any]:
    """Return the outputs, and what they predict where that is not the same."""
    link = runtime.model.loss.inverse_link
    return [outputs] if link is None else [outputs, link(xp, outputs)]


def samples(session: Any, runtime: Runtime, schema: DataSpec, rows: int) -> tuple[Any, dict[str, np.ndarray]]:
    """Return random data for the network, and the same as onnxruntime's inputs."""
    rng = np.random.default_rng(rows)
    if schema.encoding is not None:
        columns = schema.encoding.columns
        cells = {column.name: _cells(column, rng, rows) for column in columns}
        zoned = frozenset(column.name for column in columns if column.kind == "instant")
        feed = {name: _fed(column, cells[name]) for name, column in zip(cells, columns, strict=True)}
        return Table("x", cells, header=True, zoned=zoned), feed
    architecture = runtime.model.architecture
    assert architecture.features is not None
    first = as_preprocessing(architecture.layers[0])
    x = first.sample_input(rng, (rows, *architecture.features))
    if isinstance(first, Standardize):  # numbers as those that were standardised
        buffers = runtime.layer_buffers(0)
        numbers = x[:, : x.shape[1] - len(first.num_embeddings)] if isinstance(first, Tabular) else x
        numbers /= buffers["inverse_std"]
        numbers += buffers["mean"].astype(np.float64)
    kind = {"tensor(float)": "float32", "tensor(double)": "float64"}.get(session.get_inputs()[0].type)
    x = x.astype(kind or session.get_inputs()[0].type[7:-1])
    return x, {"x": x}


def _cells(column: Column, rng: np.random.Generator, rows: int) -> np.ndarray:
    """Return random cells of a column, some of them missing, and texts that training has not seen."""
    gaps = rng.random(rows) < 0.2
    if column.kind == "text":
        known = [as_text(value) for value in column.values] or ["a text"]
        return np.where(gaps, "", rng.choice([*known, "never seen before"], rows))
    if column.kind == "bool":
        return np.where(gaps, np.nan, rng.integers(0, 2, rows).astype(np.float64))
    values = column.fill + rng.standard_normal(rows) * max(1.0, abs(column.fill))
    if column.kind == "number":
        return np.where(gaps, np.nan, values)
    moments = (values * 86_400_000.0).astype(np.int64).astype("datetime64[ms]")
    return np.where(gaps, np.datetime64("NaT"), moments)


def _fed(column: Column, cells: np.ndarray) -> np.ndarray:
    """Return cells as onnxruntime takes them, (rows, 1)."""
    if column.kind == "text":
        return cells.astype(object)[:, None]
    if cells.dtype.kind == "M":
        days = (cells - np.datetime64(0, "D")) / np.timedelta64(1, "D")
        return np.where(np.isnat(cells), np.nan, days)[:, None]
    return cells.astype(np.float64)[:, None]
