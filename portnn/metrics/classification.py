"""Metrics of classes: accuracy, precision and recall, areas, the confusion matrix."""

from dataclasses import dataclass

import numpy as np

from portnn.errors import ArgumentError
from portnn.metrics.base import Metric, Weight, mean
from portnn.options import check_positive_int, lookup


def labels(values: np.ndarray) -> np.ndarray:
    """Return each row's class: the largest of several columns, whether a single one exceeds 1/2, or the label itself.

    Parameters
    ----------
    values : numpy.ndarray
        (rows,) or (rows, columns).

    Returns
    -------
    numpy.ndarray
        (rows,).

    Examples
    --------
    >>> import numpy as np
    >>> from portnn.metrics import labels
    >>> labels(np.array([[0.9, 0.1], [0.2, 0.8]])).tolist()
    [0, 1]
    """
    if values.ndim == 1:
        return values
    classes: np.ndarray = values.argmax(axis=1) if values.shape[1] > 1 else (values[:, 0] > 0.5).astype(np.int64)
    return classes


class Accuracy(Metric):
    """Share of the rows with the right class.

    Examples
    --------
    >>> import numpy as np
    >>> from portnn.metrics import Accuracy
    >>> Accuracy()(np.array([[0.9, 0.1], [0.2, 0.8]]), np.array([0, 1]))
    1.0
    """

    def score(self, outputs: np.ndarray, y: np.ndarray, weight: Weight) -> float:
        return mean(labels(outputs) == labels(y), weight)


@dataclass(frozen=True)
class TopK(Metric):
    """Share of the rows whose class is among the k largest outputs; of equal outputs the later column comes first.

    Examples
    --------
    >>> import numpy as np
    >>> from portnn.metrics import TopK
    >>> TopK(k=1)(np.array([[0.9, 0.1], [0.2, 0.8]]), np.array([0, 1]))
    1.0
    """

    k: int = 5

    def __post_init__(self) -> None:
        check_positive_int("k", self.k)

    def score(self, outputs: np.ndarray, y: np.ndarray, weight: Weight) -> float:
        if outputs.shape[1] <= 2:
            return Accuracy()(outputs, y, weight) if self.k == 1 else 1.0
        top = np.argsort(outputs, axis=1, kind="stable")[:, ::-1][:, : self.k]
        return mean((top == labels(y)[:, None]).any(axis=1), weight)


def confusion_matrix(outputs: np.ndarray, y: np.ndarray, weight: Weight = None) -> np.ndarray:
    """Return the confusion matrix, (classes, classes): counts or weights by true class (row) and predicted class.

    Parameters
    ----------
    outputs : numpy.ndarray
        (rows, outputs).
    y : numpy.ndarray
        Labels, (rows,), or values of the outputs' shape.
    weight : numpy.ndarray, optional
        (rows,).

    Returns
    -------
    numpy.ndarray
        (classes, classes).

    Examples
    --------
    >>> import numpy as np
    >>> from portnn.metrics import confusion_matrix
    >>> confusion_matrix(np.array([[0.9, 0.1], [0.7, 0.3]]), np.array([0, 1])).tolist()
    [[1, 0], [1, 0]]
    """
    n = max(outputs.shape[1], 2)
    matrix: np.ndarray = np.bincount(labels(y) * n + labels(outputs), weight, n * n).reshape(n, n)
    return matrix


def per_class(outputs: np.ndarray, y: np.ndarray, weight: Weight = None) -> dict[str, np.ndarray]:
    """Return {"precision", "recall", "f1", "support"}, each (classes,); 0 for a class without rows.

    Parameters
    ----------
    outputs : numpy.ndarray
        (rows, outputs).
    y : numpy.ndarray
        Labels, (rows,), or values of the outputs' shape.
    weight : numpy.ndarray, optional
        (rows,).

    Returns
    -------
    dict of str to numpy.ndarray
        Each (classes,).

    Examples
    --------
    >>> import numpy as np
    >>> from portnn.metrics import per_class
    >>> per_class(np.array([[0.9, 0.1], [0.7, 0.3]]), np.array([0, 1]))["recall"].tolist()
    [1.0, 0.0]
    """
    matrix = confusion_matrix(outputs, y, weight).astype(np.float64)
    hits, predicted, support = np.diagonal(matrix), matrix.sum(axis=0), matrix.sum(axis=1)
    return {
        "precision": _ratio(hits, predicted),
        "recall": _ratio(hits, support),
        "f1": _ratio(2.0 * hits, predicted + support),
        "support": support,
    }


def _ratio(numerator: np.ndarray, denominator: np.ndarray) -> np.ndarray:
    ratio: np.ndarray = np.divide(numerator, denominator, out=np.zeros_like(numerator), where=denominator > 0)
    return ratio


Average = str | int | None
"""How scores of classes become one: "macro" (the default for more than two), their mean; "weighted" by the rows of
each; "micro", over all rows; "binary" (the default for two), the second's; or that of the class of that number. A class
that no row is of or taken for does not count."""


@dataclass(frozen=True)
class _ScoreOfClasses(Metric):
    """Base of scores by class.

    Parameters
    ----------
    average : {"macro", "weighted", "micro", "binary"} or int, optional
        How the scores become one number; None: "binary" for two classes, else "macro".
    """

    average: Average = None

    of = ""  # no annotation: not an option

    def __post_init__(self) -> None:
        if self.average is not None and type(self.average) is not int:
            lookup("average", self.average, dict.fromkeys(("macro", "weighted", "micro", "binary")))

    def score(self, outputs: np.ndarray, y: np.ndarray, weight: Weight) -> float:
        return _average(self.of, outputs, y, weight, self.average)


class Precision(_ScoreOfClasses):
    r"""Share of the rows predicted as a class that belong to it.

    Notes
    -----
    .. math:: P = \frac{TP}{TP + FP}

    Examples
    --------
    >>> import numpy as np
    >>> from portnn.metrics import Precision
    >>> Precision(average="macro")(np.array([[0.9, 0.1], [0.2, 0.8]]), np.array([0, 1]))
    1.0
    """

    of = "precision"


class Recall(_ScoreOfClasses):
    r"""Share of the rows of a class that are predicted as it.

    Notes
    -----
    .. math:: R = \frac{TP}{TP + FN}

    Examples
    --------
    >>> import numpy as np
    >>> from portnn.metrics import Recall
    >>> Recall()(np.array([[0.9, 0.1], [0.2, 0.8]]), np.array([0, 1]))
    1.0
    """

    of = "recall"


class F1(_ScoreOfClasses):
    r"""Harmonic mean of precision and recall of a class.

    Notes
    -----
    .. math:: F_1 = \frac{2 P R}{P + R} = \frac{2 TP}{2 TP + FP + FN}

    van Rijsbergen 1979, chapter 7.

    Examples
    --------
    >>> import numpy as np
    >>> from portnn.metrics import F1
    >>> F1()(np.array([[0.9, 0.1], [0.2, 0.8]]), np.array([0, 1]))
    1.0
    """

    of = "f1"


def _average(score: str, outputs: np.ndarray, y: np.ndarray, weight: Weight, average: Average) -> float:
    scores = per_class(outputs, y, weight)
    average = ("binary" if len(scores["f1"]) == 2 else "macro") if average is None else average
    if average == "micro":  # each row has one class, and is taken for one: all three are the share of hits
        return Accuracy()(outputs, y, weight)
    classes = len(scores[score])
    if average == "binary":
        if classes > 2:
            raise ArgumentError(f'average: "binary" is for two classes; got {classes}: "macro", "weighted" or "micro"')
        average = 1
    if isinstance(average, int):
        if not -classes <= average < classes:
            raise ArgumentError(f"average: expected one of {classes} classes; got {average}")
        return float(scores[score][average])
    present = np.union1d(labels(outputs), labels(y))
    counts = scores["support"][present] if average == "weighted" else np.ones(len(present))
    return float(np.average(scores[score][present], weights=counts)) if counts.sum() else 0.0


class BalancedAccuracy(Metric):
    """Mean recall of the classes in y: guessing the most frequent class does not pay.

    Examples
    --------
    >>> import numpy as np
    >>> from portnn.metrics import BalancedAccuracy
    >>> BalancedAccuracy()(np.array([[0.9, 0.1], [0.2, 0.8]]), np.array([0, 1]))
    1.0
    """

    def score(self, outputs: np.ndarray, y: np.ndarray, weight: Weight) -> float:
        scores = per_class(outputs, y, weight)
        return float(scores["recall"][scores["support"] > 0].mean())


class ROCAUC(Metric):
    """Area under the curve of true over false positive rates; of several classes the mean of one against the rest.

    Pairs with equal outputs count one half (Mann and Whitney 1947). NaN if a class has no row, or all rows.

    Examples
    --------
    >>> import numpy as np
    >>> from portnn.metrics import ROCAUC
    >>> ROCAUC()(np.array([[0.9, 0.1], [0.2, 0.8]]), np.array([0, 1]))
    1.0
    """

    def score(self, outputs: np.ndarray, y: np.ndarray, weight: Weight) -> float:
        true_classes, classes = labels(y), outputs.shape[1]
        if classes <= 2:
            return _area(outputs[:, -1], true_classes == 1, weight)
        return float(np.mean([_area(outputs[:, i], true_classes == i, weight) for i in range(classes)]))


def _area(scores: np.ndarray, is_positive: np.ndarray, weight: Weight) -> float:
    weight = np.ones(len(scores)) if weight is None else weight
    order = np.argsort(-scores, kind="stable")
    ends = np.r_[np.flatnonzero(np.diff(scores[order])), len(scores) - 1]  # ends of runs of equal outputs
    masks = is_positive, ~is_positive
    true_positives, false_positives = (np.r_[0.0, np.cumsum((weight * mask)[order])[ends]] for mask in masks)
    if not (true_positives[-1] and false_positives[-1]):
        return float("nan")
    return float(np.trapezoid(true_positives / true_positives[-1], false_positives / false_positives[-1]))


class LogLoss(Metric):
    r"""Mean of -log of the probability of the right class; probabilities are clipped to [eps, 1 - eps].

    Notes
    -----
    .. math:: -\frac{1}{N} \sum_n \log p_{n, y_n}

    Examples
    --------
    >>> import numpy as np
    >>> from portnn.metrics import LogLoss
    >>> round(LogLoss()(np.array([[0.5, 0.5]]), np.array([0])), 3)
    0.693
    """

    greater_is_better = False

    def score(self, outputs: np.ndarray, y: np.ndarray, weight: Weight) -> float:
        p = outputs if outputs.shape[1] > 1 else np.concatenate([1 - outputs, outputs], axis=1)
        eps = np.finfo(p.dtype).eps
        p = np.clip(p, eps, 1 - eps).astype(np.float64)
        if y.ndim == 2 and y.shape[1] > 1:  # distributions
            return mean(-(y * np.log(p)).sum(axis=1), weight)
        return mean(-np.log(np.take_along_axis(p, labels(y).astype(np.int64)[:, None], axis=1)[:, 0]), weight)
