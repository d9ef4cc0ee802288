"""Metrics of regression."""

import numpy as np

from portnn.metrics.base import Metric, Weight, mean


class MAE(Metric):
    r"""Mean absolute error over rows and outputs.

    Notes
    -----
    .. math:: \frac{1}{N K} \sum_{n,k} \lvert a_{nk} - y_{nk} \rvert

    Examples
    --------
    >>> import numpy as np
    >>> from portnn.metrics import MAE
    >>> MAE()(np.array([[1.0], [1.0]]), np.array([[0.0], [2.0]]))
    1.0
    """

    regression_only = True
    greater_is_better = False

    def score(self, outputs: np.ndarray, y: np.ndarray, weight: Weight) -> float:
        return mean(np.abs(outputs - y).mean(axis=1), weight)


class MSE(Metric):
    r"""Mean squared error over rows and outputs.

    Notes
    -----
    .. math:: \frac{1}{N K} \sum_{n,k} (a_{nk} - y_{nk})^2

    Examples
    --------
    >>> import numpy as np
    >>> from portnn.metrics import MSE
    >>> MSE()(np.array([[1.0], [1.0]]), np.array([[0.0], [3.0]]))
    2.5
    """

    regression_only = True
    greater_is_better = False

    def score(self, outputs: np.ndarray, y: np.ndarray, weight: Weight) -> float:
        return mean(((outputs - y) ** 2).mean(axis=1), weight)


class RMSE(Metric):
    r"""Root of the mean squared error over rows, averaged over the outputs.

    Notes
    -----
    .. math:: \frac{1}{K} \sum_k \sqrt{\frac{1}{N} \sum_n (a_{nk} - y_{nk})^2}

    Examples
    --------
    >>> import numpy as np
    >>> from portnn.metrics import RMSE
    >>> RMSE()(np.array([[1.0], [1.0]]), np.array([[0.0], [2.0]]))
    1.0
    """

    regression_only = True
    greater_is_better = False

    def score(self, outputs: np.ndarray, y: np.ndarray, weight: Weight) -> float:
        return float(np.sqrt(np.average((outputs - y) ** 2, axis=0, weights=weight)).mean())


class R2(Metric):
    r"""Coefficient of determination, 1 - residual / total sum of squares, averaged over the outputs.

    A constant target gives 1 if it is predicted exactly, else 0; a single row gives NaN.

    Notes
    -----
    .. math:: R^2 = 1 - \frac{\sum_n (a_n - y_n)^2}{\sum_n (y_n - \bar y)^2}

    Examples
    --------
    >>> import numpy as np
    >>> from portnn.metrics import R2
    >>> R2()(np.array([[1.0], [1.0]]), np.array([[0.0], [2.0]]))
    0.0
    """

    regression_only = True

    def score(self, outputs: np.ndarray, y: np.ndarray, weight: Weight) -> float:
        if len(y) < 2:
            return float("nan")
        residual = np.average((y - outputs) ** 2, axis=0, weights=weight)
        # Relative to the first row: the mean of a constant would be off by a rounding.
        offsets = y - y[:1]
        total = np.average((offsets - np.average(offsets, axis=0, weights=weight)) ** 2, axis=0, weights=weight)
        varies = total > 0
        scores = 1.0 - np.divide(residual, total, out=np.ones_like(residual), where=varies)
        return float(np.where(varies, scores, residual == 0).mean())
