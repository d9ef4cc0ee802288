"""Metrics of a network's outputs against its targets: ``metric(xp, outputs, y) -> 0-d array``.

``outputs`` is (rows, outputs); ``y`` is int32 labels, (rows,), or values of the outputs' shape.
"""

from collections.abc import Callable, Sequence

from portnn.errors import ArgumentError
from portnn.options import choose
from portnn.types import Array, Namespace

Metric = Callable[[Namespace, Array, Array], Array]


def classes(xp: Namespace, outputs: Array) -> Array:
    """Return int32 labels, (rows,): the largest of several outputs, or whether a single one exceeds 1/2."""
    if outputs.shape[1] == 1:
        return xp.astype(outputs[:, 0] > 0.5, xp.int32)
    return xp.astype(xp.argmax(outputs, axis=1), xp.int32)


def accuracy(xp: Namespace, outputs: Array, y: Array) -> Array:
    """Share of the rows whose class is right."""
    truth = y if y.ndim == 1 else classes(xp, y)
    hits = xp.astype(classes(xp, outputs) == truth, outputs.dtype)
    return xp.sum(hits) * (1.0 / outputs.shape[0])


def mae(xp: Namespace, outputs: Array, y: Array) -> Array:
    """Mean absolute error over rows and outputs."""
    return xp.sum(xp.abs(outputs - y)) * (1.0 / (y.shape[0] * y.shape[1]))


def r2(xp: Namespace, outputs: Array, y: Array) -> Array:
    """Coefficient of determination, 1 - residual / total sum of squares, averaged over the outputs.

    A target that never varies gives 1 where it is met exactly, else 0 (scikit-learn's convention).
    """
    # Seen from the first row: at an offset of 1e6 the mean of float32 numbers would be off by more than they vary.
    centred = y - y[:1, :]
    centred = centred - xp.sum(centred, axis=0) * (1.0 / y.shape[0])
    residual = xp.sum((y - outputs) * (y - outputs), axis=0)
    total = xp.sum(centred * centred, axis=0)
    constant, met = xp.astype(total == 0, y.dtype), xp.astype(residual == 0, y.dtype)
    score = (1.0 - constant) * (1.0 - residual / (total + constant)) + constant * met
    return xp.sum(score) * (1.0 / y.shape[1])


METRICS: dict[str, Metric] = {"accuracy": accuracy, "mae": mae, "r2": r2}

RISING = frozenset({"accuracy", "r2"})
"""Metrics of which more is better."""
OF_VALUES = frozenset({"mae", "r2"})
"""Metrics that class labels have no use for."""


def check_metrics(names: Sequence[str], labels: bool) -> None:
    """Raise ArgumentError unless these are metrics, of class ``labels`` where the targets are such."""
    if isinstance(names, str):
        raise ArgumentError(f"metrics: expected a list of names; got {names!r}")
    for name in names:
        choose("metrics", name, METRICS)
        if name in OF_VALUES and labels:
            raise ArgumentError(f"metrics: {name!r} is for targets that are values; got class labels")
