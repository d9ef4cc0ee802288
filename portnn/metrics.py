"""Metrics: what a network's outputs are worth, measured on the host in float64, the same for every backend.

``metric(outputs, y, weight=None) -> float``. ``outputs`` is (rows, outputs): a column per class, or one whose class is
whether it exceeds 1/2. ``y`` is labels, (rows,), or values of the outputs' shape, of which class metrics take the
largest. ``weight`` is one number per row, (rows,). Definitions, ties and degenerate cases are scikit-learn's.
"""

import inspect
import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np

from portnn.errors import ArgumentError
from portnn.options import choose, plain, positive

_log = logging.getLogger("portnn")
Weight = np.ndarray | None


def labels(values: np.ndarray) -> np.ndarray:
    """Return the class of each row: the largest of several columns, whether a single one exceeds 1/2, or itself."""
    if values.ndim == 1:
        return values
    found: np.ndarray = values.argmax(axis=1) if values.shape[1] > 1 else (values[:, 0] > 0.5).astype(np.int64)
    return found


def _mean(values: np.ndarray, weight: Weight) -> float:
    return float(np.average(values, weights=weight))


# ---- classes


def accuracy(outputs: np.ndarray, y: np.ndarray, weight: Weight = None) -> float:
    """Share of the rows whose class is right."""
    return _mean(labels(outputs) == labels(y), weight)


def top_k(outputs: np.ndarray, y: np.ndarray, weight: Weight = None, *, k: int = 5) -> float:
    """Share of the rows whose class is among the k largest outputs; of equal ones the later column comes first."""
    if outputs.shape[1] <= 2:
        return accuracy(outputs, y, weight) if k == 1 else 1.0
    best = np.argsort(outputs, axis=1, kind="stable")[:, ::-1][:, :k]
    return _mean((best == labels(y)[:, None]).any(axis=1), weight)


def confusion_matrix(outputs: np.ndarray, y: np.ndarray, weight: Weight = None) -> np.ndarray:
    """Return how often, or with what weight, each class (row) was taken for each (column): (classes, classes)."""
    truth, found = labels(y), labels(outputs)
    classes = max(outputs.shape[1], 2)
    matrix: np.ndarray = np.bincount(truth * classes + found, weight, classes * classes).reshape(classes, classes)
    return matrix


def per_class(outputs: np.ndarray, y: np.ndarray, weight: Weight = None) -> dict[str, np.ndarray]:
    """Return {"precision", "recall", "f1", "support"}, each (classes,); what is of no row is 0."""
    matrix = confusion_matrix(outputs, y, weight).astype(np.float64)
    hits, found, support = np.diagonal(matrix), matrix.sum(axis=0), matrix.sum(axis=1)
    return {
        "precision": _ratio(hits, found),
        "recall": _ratio(hits, support),
        "f1": _ratio(2.0 * hits, found + support),
        "support": support,
    }


def _ratio(part: np.ndarray, whole: np.ndarray) -> np.ndarray:
    ratio: np.ndarray = np.divide(part, whole, out=np.zeros_like(part), where=whole > 0)
    return ratio


Average = str | int | None
"""How scores of classes become one: "macro" (the default for more than two), their mean; "weighted" by the rows of
each; "micro", over all rows; "binary" (the default for two), the second's; or that of the class of that number. A class
that no row is of or taken for does not count."""


def precision(outputs: np.ndarray, y: np.ndarray, weight: Weight = None, *, average: Average = None) -> float:
    """Of the rows taken for a class, the share that is of it."""
    return _averaged("precision", outputs, y, weight, average)


def recall(outputs: np.ndarray, y: np.ndarray, weight: Weight = None, *, average: Average = None) -> float:
    """Of the rows of a class, the share that is taken for it."""
    return _averaged("recall", outputs, y, weight, average)


def f1(outputs: np.ndarray, y: np.ndarray, weight: Weight = None, *, average: Average = None) -> float:
    """Harmonic mean of precision and recall of a class."""
    return _averaged("f1", outputs, y, weight, average)


def _averaged(score: str, outputs: np.ndarray, y: np.ndarray, weight: Weight, average: Average) -> float:
    scores = per_class(outputs, y, weight)
    average = ("binary" if len(scores["f1"]) == 2 else "macro") if average is None else average
    if average == "micro":  # each row has one class, and is taken for one: all three are the share of hits
        return accuracy(outputs, y, weight)
    classes = len(scores[score])
    if average == "binary":
        if classes > 2:
            raise ArgumentError(f'average: "binary" is for two classes; got {classes}: "macro", "weighted" or "micro"')
        average = 1
    if isinstance(average, int):
        if not -classes <= average < classes:
            raise ArgumentError(f"average: expected one of {classes} classes; got {average}")
        return float(scores[score][average])
    there = np.union1d(labels(outputs), labels(y))
    counts = scores["support"][there] if average == "weighted" else np.ones(len(there))
    return float(np.average(scores[score][there], weights=counts)) if counts.sum() else 0.0


def balanced_accuracy(outputs: np.ndarray, y: np.ndarray, weight: Weight = None) -> float:
    """Mean of the recalls of the classes that there are: guessing the most frequent one does not pay."""
    scores = per_class(outputs, y, weight)
    return float(scores["recall"][scores["support"] > 0].mean())


def roc_auc(outputs: np.ndarray, y: np.ndarray, weight: Weight = None) -> float:
    """Area under the curve of hits over false alarms; of several classes the mean of each against the rest.

    Half of the pairs with equal outputs count (Mann and Whitney 1947). NaN where a class has no row, or all rows.
    """
    truth, classes = labels(y), outputs.shape[1]
    if classes <= 2:
        return _area(outputs[:, -1], truth == 1, weight)
    return float(np.mean([_area(outputs[:, i], truth == i, weight) for i in range(classes)]))


def _area(scores: np.ndarray, hit: np.ndarray, weight: Weight) -> float:
    weight = np.ones(len(scores)) if weight is None else weight
    order = np.argsort(-scores, kind="stable")
    ends = np.r_[np.flatnonzero(np.diff(scores[order])), len(scores) - 1]  # of runs of equal outputs
    hits, alarms = (np.r_[0.0, np.cumsum((weight * kind)[order])[ends]] for kind in (hit, ~hit))
    if not (hits[-1] and alarms[-1]):
        return float("nan")
    return float(np.trapezoid(hits / hits[-1], alarms / alarms[-1]))


def log_loss(outputs: np.ndarray, y: np.ndarray, weight: Weight = None) -> float:
    """Mean of -log of the probability of the right class; probabilities are held eps away from 0 and 1."""
    p = outputs if outputs.shape[1] > 1 else np.concatenate([1 - outputs, outputs], axis=1)
    eps = np.finfo(p.dtype).eps
    p = np.clip(p, eps, 1 - eps).astype(np.float64)
    if y.ndim == 2 and y.shape[1] > 1:  # distributions
        return _mean(-(y * np.log(p)).sum(axis=1), weight)
    return _mean(-np.log(np.take_along_axis(p, labels(y).astype(np.int64)[:, None], axis=1)[:, 0]), weight)


# ---- values


def mae(outputs: np.ndarray, y: np.ndarray, weight: Weight = None) -> float:
    """Mean absolute error over rows and outputs."""
    return _mean(np.abs(outputs - y).mean(axis=1), weight)


def rmse(outputs: np.ndarray, y: np.ndarray, weight: Weight = None) -> float:
    """Root of the mean squared error over rows, averaged over the outputs."""
    return float(np.sqrt(np.average((outputs - y) ** 2, axis=0, weights=weight)).mean())


def r2(outputs: np.ndarray, y: np.ndarray, weight: Weight = None) -> float:
    """Coefficient of determination, 1 - residual / total sum of squares, averaged over the outputs.

    A target that never varies gives 1 where it is met exactly, else 0; a single row gives NaN.
    """
    if len(y) < 2:
        return float("nan")
    residual = np.average((y - outputs) ** 2, axis=0, weights=weight)
    # Seen from the first row: the mean of a constant would be off by a rounding.
    seen = y - y[:1]
    total = np.average((seen - np.average(seen, axis=0, weights=weight)) ** 2, axis=0, weights=weight)
    varies = total > 0
    scores = 1.0 - np.divide(residual, total, out=np.ones_like(residual), where=varies)
    return float(np.where(varies, scores, residual == 0).mean())


# ---- by name


@dataclass(frozen=True)
class Metric:
    """A metric and what is to be known of it."""

    function: Callable[..., float]
    values: bool = False
    """Whether it is of values alone: class labels have no use for it."""
    rises: bool | None = True
    """Whether more is better; None: a function does not say it."""
    options: Mapping[str, Any] = field(default_factory=dict)

    @classmethod
    def named(cls, name: str, **options: Any) -> "Metric":
        """Return a metric by its name with options: ``Metric.named("top_k", k=3)``.

        top_k has ``k``; precision, recall and f1 have ``average``. Raises ArgumentError for others.
        """
        found = choose("metrics", name, METRICS)
        known = [p.name for p in inspect.signature(found.function).parameters.values() if p.kind is p.KEYWORD_ONLY]
        options = {key: plain(value) for key, value in options.items()}
        for key, value in options.items():
            if key not in known:
                raise ArgumentError(f"metrics: {name} has the options {', '.join(known) or 'none'}; got {key!r}")
            if key == "k":
                positive("k", value)
            elif type(value) is not int:
                choose(key, value, dict.fromkeys(("macro", "weighted", "micro", "binary")))
        return cls(found.function, found.values, found.rises, options)

    def __call__(self, outputs: np.ndarray, y: np.ndarray, weight: Weight = None) -> float:
        if self.values:
            outputs, y = outputs.astype(np.float64), y.astype(np.float64)
        return self.function(outputs, y, weight, **self.options)


METRICS: dict[str, Metric] = {
    "accuracy": Metric(accuracy),
    "balanced_accuracy": Metric(balanced_accuracy),
    "precision": Metric(precision),
    "recall": Metric(recall),
    "f1": Metric(f1),
    "top_k": Metric(top_k),
    "roc_auc": Metric(roc_auc),
    "log_loss": Metric(log_loss, rises=False),
    "mae": Metric(mae, values=True, rises=False),
    "rmse": Metric(rmse, values=True, rises=False),
    "r2": Metric(r2, values=True),
}

Chosen = str | Metric | Callable[..., float]


class Compared(NamedTuple):
    """What a network's outputs and targets are."""

    labels: bool
    """Whether the targets are class labels."""
    activation: str
    """Of the outputs."""
    fused: str | None
    """The output activation that the loss is made for; None: it compares values."""
    outputs: int

    def problem(self, metric: Metric) -> str:
        """Return why a metric has no use for them; empty: it has."""
        if metric.values:
            return "is for targets that are values; got class labels" if self.labels or self.fused else ""
        if not (self.labels or self.activation in ("sigmoid", "softmax", "log_softmax")):
            return f'is for classes; got outputs that are values: expected output="sigmoid" or "softmax"; got {self}'
        if not self.labels and self.activation == "sigmoid" and self.outputs > 1:
            return f"is for one class a row; got {self.outputs} outputs that are classes each: give a function"
        if metric.function is log_loss and self.activation not in ("sigmoid", "softmax"):
            return f'is for probabilities: expected output="sigmoid" or "softmax"; got {self}'
        return ""

    def __str__(self) -> str:
        return f'output="{self.activation}"'


def chosen(metrics: Sequence[Chosen], compared: Compared) -> dict[str, Metric]:
    """Return metrics by the names that they have in a history: names, Metrics, and functions.

    A function is ``(outputs, y)``, or ``(outputs, y, weight)`` where its third argument is called weight or
    sample_weight; the arrays are its own. Its attribute ``greater_is_better`` says which way is better. Raises
    ArgumentError for what is no metric, and for one that has no use for such outputs and targets.
    """
    if not isinstance(metrics, Sequence):
        raise ArgumentError(f"metrics: expected a list of names, Metrics and functions; got {metrics!r}")
    if isinstance(metrics, str):
        raise ArgumentError(f"metrics: expected a list of names; got {metrics!r}")
    found: dict[str, Metric] = {}
    for metric in metrics:
        metric = next((known for known in METRICS.values() if known.function is metric), metric)
        if isinstance(metric, Metric):
            name = next(known for known, other in METRICS.items() if other.function == metric.function)
            if metric.options:
                name += f"({', '.join(f'{key}={value}' for key, value in metric.options.items())})"
        elif callable(metric):
            name = getattr(metric, "__name__", type(metric).__name__)
            metric = Metric(_Own(metric), rises=getattr(metric, "greater_is_better", None))
        else:
            name, metric = str(metric), choose("metrics", metric, METRICS)
        if not isinstance(metric.function, _Own) and (problem := compared.problem(metric)):
            raise ArgumentError(f"metrics: {name!r} {problem}")
        if name == "loss":
            raise ArgumentError("metrics: expected other names than 'loss', which the loss has; got a metric of it")
        if name in found:
            raise ArgumentError(f"metrics: expected different names; got {name!r} twice")
        found[name] = metric
    return found


class _Own:
    """A user's function as a metric: on arrays of its own, which it may write to, weighted where it takes weights."""

    def __init__(self, function: Callable[..., float]) -> None:
        self._function, self._unweighted = function, False
        try:
            names = list(inspect.signature(function).parameters)
        except (TypeError, ValueError):  # of a compiled function nothing is known
            names = []
        self._takes = names[2] if len(names) > 2 and names[2] in ("weight", "sample_weight") else None

    def __call__(self, outputs: np.ndarray, y: np.ndarray, weight: Weight = None) -> float:
        weights = {}
        if weight is not None and self._takes:
            weights = {self._takes: weight.copy()}
        elif weight is not None and not self._unweighted:
            self._unweighted = True
            name = getattr(self._function, "__name__", type(self._function).__name__)
            _log.warning("metrics: %r is not weighted: it takes no third argument weight or sample_weight", name)
        value = self._function(outputs.copy(), y.copy(), **weights)
        if np.ndim(value) or not isinstance(plain(value), int | float):
            name = getattr(self._function, "__name__", type(self._function).__name__)
            raise ArgumentError(f"metrics: expected a number of {name!r}; got {value!r}")
        return float(value)
