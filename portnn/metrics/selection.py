"""The table of metrics, and which of them suit a network's outputs and targets."""

from collections.abc import Callable, Sequence
from typing import NamedTuple

from portnn import registry
from portnn.errors import ArgumentError
from portnn.metrics.base import Metric
from portnn.metrics.classification import F1, ROCAUC, Accuracy, BalancedAccuracy, LogLoss, Precision, Recall, TopK
from portnn.metrics.regression import MAE, MSE, R2, RMSE
from portnn.options import lookup

METRICS: dict[str, type[Metric]] = {
    "accuracy": Accuracy,
    "balanced_accuracy": BalancedAccuracy,
    "precision": Precision,
    "recall": Recall,
    "f1": F1,
    "top_k": TopK,
    "roc_auc": ROCAUC,
    "log_loss": LogLoss,
    "mae": MAE,
    "mse": MSE,
    "rmse": RMSE,
    "r2": R2,
}
registry.register_kind("metric", Metric, METRICS)

MetricLike = str | Metric | Callable[..., float] | object


class Compared(NamedTuple):
    """Properties of a network's outputs and targets."""

    labels: bool
    """Whether the targets are class labels."""
    activation: str
    """The output activation."""
    fused: str | None
    """The output activation of the loss; None: a loss of values."""
    outputs: int

    def problem(self, metric: Metric) -> str:
        """Return why a metric does not apply; "" if it does."""
        if metric.regression_only:
            return "is for targets that are values; got class labels" if self.labels or self.fused else ""
        if not (self.labels or self.activation in ("sigmoid", "softmax", "log_softmax")):
            return f'is for classes; got outputs that are values: expected output="sigmoid" or "softmax"; got {self}'
        if self.kind == "labels":
            return f"is for one class a row; got {self.outputs} outputs that are classes each: give a function"
        if isinstance(metric, LogLoss) and self.activation not in ("sigmoid", "softmax"):
            return f'is for probabilities: expected output="sigmoid" or "softmax"; got {self}'
        return ""

    @property
    def kind(self) -> str:
        """What the outputs are: "values", "classes" or "labels", several classes a row."""
        if not self.labels and self.activation == "sigmoid" and self.outputs > 1:
            return "labels"
        return "classes" if self.labels or self.activation in ("sigmoid", "softmax") else "values"

    def __str__(self) -> str:
        return f'output="{self.activation}"'


def _named(name: str, compared: Compared) -> Metric:
    """Return the metric of that name, or scikit-learn's scorer."""
    if name not in METRICS:
        try:
            from portnn.metrics.scorers import NAMES, Scorer
        except ImportError:
            known = f"expected one of {', '.join(METRICS)}, or a scorer of scikit-learn, which is not installed"
            raise ArgumentError(f"metrics: {known} (pip install 'portnn[sklearn]'); got {name!r}") from None
        if name in NAMES:
            return Scorer(name, compared.kind)
    return lookup("metrics", name, METRICS)()


def resolve_metrics(metrics: Sequence[MetricLike], compared: Compared) -> dict[str, Metric]:
    """Return metrics by their names in a history, from names, Metrics and functions.

    A function is ``(outputs, y)``, or ``(outputs, y, weight)`` if its third argument is called weight or sample_weight;
    it gets copies of the arrays. Its attribute ``greater_is_better`` tells which way is better. Raises ArgumentError
    for other objects, and for a metric that does not suit the outputs and targets.
    """
    if not isinstance(metrics, Sequence):
        raise ArgumentError(f"metrics: expected a list of names, Metrics and functions; got {metrics!r}")
    if isinstance(metrics, str):
        raise ArgumentError(f"metrics: expected a list of names; got {metrics!r}")
    by_name: dict[str, Metric] = {}
    for metric in metrics:
        if isinstance(metric, str):
            metric = _named(metric, compared)
        elif not isinstance(metric, Metric):
            if not callable(metric):
                raise ArgumentError(
                    f"metrics: expected one of {', '.join(METRICS)}, a Metric or a function; got {metric!r}"
                )
            metric = Metric(metric, greater_is_better=getattr(metric, "greater_is_better", None))
        name = metric.name
        checked = metric.regression_only or type(metric) in METRICS.values()
        if checked and (problem := compared.problem(metric)):
            raise ArgumentError(f"metrics: {name!r} {problem}")
        if name == "loss":
            raise ArgumentError(
                "metrics: expected other names than 'loss', which is the loss's; got a metric of that name"
            )
        if name in by_name:
            raise ArgumentError(f"metrics: expected different names; got {name!r} twice")
        by_name[name] = metric
    return by_name
