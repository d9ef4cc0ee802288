"""scikit-learn's scorers by their names, on a network's outputs. Importing this imports scikit-learn."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from sklearn.base import BaseEstimator, ClassifierMixin, RegressorMixin
from sklearn.metrics import get_scorer, get_scorer_names

from portnn.errors import ArgumentError
from portnn.metrics.base import Metric, Weight
from portnn.metrics.classification import labels

NAMES = frozenset(get_scorer_names())


@dataclass(frozen=True)
class Scorer(Metric):
    """A scorer of scikit-learn. A larger value is better for each of them ("neg_log_loss").

    Raises ArgumentError for a scorer of values where the outputs are classes, and the other way round.
    """

    scorer: str
    kind: str
    """Of the outputs: "values", or probabilities of "classes", or of "labels" (several a row)."""

    def __post_init__(self) -> None:
        function = getattr(get_scorer(self.scorer), "_score_func", None)
        of_values = getattr(function, "__module__", "").endswith("_regression")
        if function is not None and of_values != (self.kind == "values"):
            wanted, got = ("values", "classes") if of_values else ("classes", "values")
            raise ArgumentError(f"metrics: {self.scorer!r} of scikit-learn is for {wanted}; got outputs that are {got}")

    @property
    def name(self) -> str:
        return self.scorer

    def score(self, outputs: np.ndarray, y: np.ndarray, weight: Weight) -> float:
        outputs = outputs.astype(np.float64)
        model = {"values": _Regressor, "classes": _Classifier, "labels": _Labels}[self.kind](outputs)
        if self.kind == "values":
            y = y[:, 0] if y.shape[1:] == (1,) else y
        else:
            y = (labels(y) if self.kind == "classes" else y).astype(np.int64)
        options = {} if weight is None else {"sample_weight": weight}
        try:
            return float(get_scorer(self.scorer)(model, np.arange(len(y))[:, None], y, **options))
        except (TypeError, ValueError) as error:  # no weights, or too few classes in y
            raise ArgumentError(f"metrics: {self.scorer!r} of scikit-learn: {error}") from error


class _Outputs(BaseEstimator):  # type: ignore[misc]
    """Outputs as an estimator predicts them; X is the numbers of rows."""

    def __init__(self, outputs: np.ndarray) -> None:
        self.outputs = outputs


class _Classifier(ClassifierMixin, _Outputs):  # type: ignore[misc]
    @property
    def classes_(self) -> np.ndarray:
        return np.arange(max(2, self.outputs.shape[1]))

    def predict(self, X: np.ndarray) -> Any:
        return labels(self.outputs)

    def predict_proba(self, X: np.ndarray) -> np.ndarray:
        if self.outputs.shape[1] == 1:
            return np.concatenate([1.0 - self.outputs, self.outputs], axis=1)
        # Rows of float32 sum to 1 in float32 alone, which scikit-learn warns of.
        probabilities: np.ndarray = self.outputs / self.outputs.sum(axis=1, keepdims=True)
        return probabilities


class _Labels(_Classifier):
    def predict_proba(self, X: np.ndarray) -> np.ndarray:
        return self.outputs

    def predict(self, X: np.ndarray) -> Any:
        return (self.outputs > 0.5).astype(np.int64)


class _Regressor(RegressorMixin, _Outputs):  # type: ignore[misc]
    def predict(self, X: np.ndarray) -> np.ndarray:
        return self.outputs[:, 0] if self.outputs.shape[1] == 1 else self.outputs
