"""Metrics of a network's outputs, computed on the host in float64, the same for every backend.

``metric(outputs, y, weight=None) -> float``. ``outputs`` is (rows, outputs): a column per class, or one column whose
class is 1 above 1/2. ``y`` is labels, (rows,), or values of the outputs' shape, of which class metrics take the
largest. ``weight`` is one number per row, (rows,). Definitions, ties and degenerate cases are scikit-learn's.
"""

from portnn.metrics.base import Metric
from portnn.metrics.classification import (
    F1,
    ROCAUC,
    Accuracy,
    BalancedAccuracy,
    LogLoss,
    Precision,
    Recall,
    TopK,
    confusion_matrix,
    labels,
    per_class,
)
from portnn.metrics.regression import MAE, MSE, R2, RMSE
from portnn.metrics.selection import METRICS

accuracy, balanced_accuracy, roc_auc, log_loss = Accuracy(), BalancedAccuracy(), ROCAUC(), LogLoss()
precision, recall, f1, top_k = Precision(), Recall(), F1(), TopK()
mae, mse, rmse, r2 = MAE(), MSE(), RMSE(), R2()

__all__ = [
    "F1",
    "MAE",
    "METRICS",
    "MSE",
    "R2",
    "RMSE",
    "ROCAUC",
    "Accuracy",
    "BalancedAccuracy",
    "LogLoss",
    "Metric",
    "Precision",
    "Recall",
    "TopK",
    "accuracy",
    "balanced_accuracy",
    "confusion_matrix",
    "f1",
    "labels",
    "log_loss",
    "mae",
    "mse",
    "per_class",
    "precision",
    "r2",
    "recall",
    "rmse",
    "roc_auc",
    "top_k",
]
