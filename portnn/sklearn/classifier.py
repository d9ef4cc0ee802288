"""The classifier."""

from collections.abc import Mapping
from dataclasses import KW_ONLY, dataclass
from typing import Any, Self

import numpy as np
from sklearn.base import ClassifierMixin
from sklearn.utils import column_or_1d
from sklearn.utils.class_weight import compute_sample_weight
from sklearn.utils.multiclass import check_classification_targets, type_of_target

from portnn.backend import host_array
from portnn.errors import ArgumentError, DataError
from portnn.nn import losses
from portnn.sklearn.base import NeuralNetworkEstimator, home_of
from portnn.types import Array


@dataclass(eq=False, repr=False)
class NeuralNetworkClassifier(ClassifierMixin, NeuralNetworkEstimator):  # type: ignore[misc]
    """A network that predicts classes, or several labels a row (an indicator matrix), with scikit-learn's interface.

    Parameters
    ----------
    hidden_layer_sizes : int or sequence
        Hidden layers: widths, names of activations and layer objects, as ``NeuralNetwork`` takes them.
    activation : str
        After each width.
    loss : str or Loss, optional
        None: cross_entropy; binary_cross_entropy for several labels a row.
    optimizer : str or Optimizer
        Its options are parameters too: ``optimizer__weight_decay``.
    learning_rate : float or Schedule, optional
        None: the optimizer's own.
    initializer : str or Initializer
    standardize : bool
        Whether the first layer standardises the columns, and learns a vector for each text of a column of many texts
        (``Tabular``).
    batch_size : int or "auto"
        "auto": 200, or all rows if there are fewer.
    max_iter : int
        Epochs at most.
    shuffle : bool
    random_state : int, RandomState or None
        An int is the network's seed.
    tol : float, optional
        The training ends when the loss has improved by less than ``tol`` for ``n_iter_no_change`` epochs. None: only
        after ``max_iter``.
    n_iter_no_change : int
    early_stopping : bool
        Whether ``validation_fraction`` of the rows is held out, and its loss decides the end; the best epoch's weights
        are kept.
    validation_fraction : float
    callbacks : sequence of callable or Callback
        As for ``NeuralNetwork.fit``.
    warm_start : bool
        Whether ``fit`` goes on from the last one.
    verbose : bool
        Whether a progress bar is shown.
    backend, device, dtype, arithmetic
        As for ``NeuralNetwork``. Without a backend the network computes where X is; without a dtype, in X's: float32
        or else float64.
    class_weight : dict or "balanced", optional
        Weights of the classes, {label: weight}.

    Attributes
    ----------
    classes_ : array
        Labels in the order of the probabilities.
    network_ : NeuralNetwork
    n_iter_ : int
        Epochs that were trained.
    loss_curve_ : list of float
        The loss of each epoch.
    history_ : History
        Of the last fit.

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> from sklearn.model_selection import cross_val_score
    >>> from portnn.sklearn import NeuralNetworkClassifier
    >>> x, y = load_iris(return_X_y=True)
    >>> model = NeuralNetworkClassifier((16,), learning_rate=0.05, max_iter=30, random_state=0)
    >>> bool(cross_val_score(model, x, y, cv=3).mean() > 0.9)
    True
    """

    _: KW_ONLY
    class_weight: Mapping[Any, float] | str | None = None

    def fit(self, X: Any, y: Any, sample_weight: Any = None) -> Self:
        """Train on all rows, for ``max_iter`` epochs at most.

        Parameters
        ----------
        X : array or data frame
            (rows, features). Columns of a frame may have texts, dates and gaps.
        y : array or column
            Labels, (rows,), or an indicator matrix, (rows, labels).
        sample_weight : array, optional
            (rows,).

        Returns
        -------
        NeuralNetworkClassifier
        """
        goes_on = self.warm_start and hasattr(self, "network_")
        return self._fit(X, y, None, sample_weight, goes_on, self.max_iter)

    def partial_fit(self, X: Any, y: Any, classes: Any = None, sample_weight: Any = None) -> Self:
        """Train on a chunk of the data for one epoch; the first call learns the columns' mean and deviation.

        Parameters
        ----------
        X, y, sample_weight
            As for ``fit``.
        classes : array, optional
            All labels that will come; the first call needs them.

        Returns
        -------
        NeuralNetworkClassifier
        """
        goes_on = hasattr(self, "network_")
        if self.class_weight == "balanced":
            raise ArgumentError("class_weight: expected weights by label for partial_fit; got 'balanced'")
        if not goes_on and classes is None:
            raise ArgumentError("classes: expected all classes at the first call of partial_fit; got none")
        return self._fit(X, y, classes, sample_weight, goes_on, 1)

    def _fit(self, X: Any, y: Any, classes: Any, sample_weight: Any, goes_on: bool, epochs: int) -> Self:
        with self._unchanged_by_errors():
            X, y = self._data(X, y, reset=not goes_on)
            y = self._labels(y, goes_on)
            known = host_array(self.classes_) if goes_on else None
            if known is None or (classes is not None and not self._multilabel):
                self._set_classes(X, y, classes)
            if known is not None and not np.array_equal(host_array(self.classes_), known):
                raise ArgumentError(f"classes: expected those of the first call, {known.tolist()}; got others")
            self._train_on(X, y, sample_weight, goes_on, epochs)
        return self

    def _labels(self, y: np.ndarray, goes_on: bool) -> np.ndarray:
        """Return labels, (rows,), or an indicator matrix. Raises ValueError for other targets."""
        check_classification_targets(y)
        kind = type_of_target(y, input_name="y")
        if kind == "multiclass-multioutput":
            raise ArgumentError("y: expected labels, (rows,), or an indicator matrix of 0 and 1; got several columns")
        multilabel = kind == "multilabel-indicator"
        if goes_on and multilabel != self._multilabel:
            raise ArgumentError(f"y: expected targets of the kind of the fit before; got {kind}")
        self._multilabel: bool = multilabel
        return y if self._multilabel else column_or_1d(y, warn=True)

    def _set_classes(self, X: Any, y: np.ndarray, classes: Any) -> None:
        if self._multilabel:
            labels = np.arange(y.shape[1])
        else:
            labels = np.unique(y if classes is None else host_array(classes))
            if len(labels) < 2:
                raise DataError(f"y: expected at least two classes; got {len(labels)} class")
        self.classes_ = home_of(X).asarray(labels) if labels.dtype.kind in "biuf" else labels

    def _train_on(self, X: Any, y: np.ndarray, sample_weight: Any, goes_on: bool, epochs: int) -> None:
        if self.class_weight is not None:
            factors = compute_sample_weight(self.class_weight, y)
            sample_weight = factors if sample_weight is None else factors * host_array(sample_weight, "float64")
        if self._multilabel:
            targets: np.ndarray = y.astype(np.float64)
        else:
            labels = host_array(self.classes_)
            targets = np.searchsorted(labels, y) % len(labels)
            if (wrong := labels[targets] != y).any():
                raise DataError(f"y: expected the classes {labels.tolist()}; got {y[wrong][0]!r}")
        if not goes_on:
            loss = self.loss or ("binary_cross_entropy" if self._multilabel else "cross_entropy")
            output = losses.find(loss).pair or "identity"
            self._begin(self._network(X, int(self.classes_.shape[0]), output, loss))
        self._train(X, targets, sample_weight, epochs, stops=epochs > 1)

    def predict_proba(self, X: Any) -> Array:
        """Return the probability of each class.

        Parameters
        ----------
        X : array or data frame

        Returns
        -------
        array
            (rows, classes), in X's library.
        """
        X = self._inputs(X, "predict_proba")
        return self.network_.predict(X)

    def predict(self, X: Any) -> Array:
        """Return the most probable class of each row; for several labels a row, those above 1/2.

        Parameters
        ----------
        X : array or data frame

        Returns
        -------
        array
            (rows,), or (rows, labels) of 0 and 1.
        """
        X = self._inputs(X, "predict")
        probabilities, home = self.network_.predict(X), home_of(X)
        with home.scope():
            if self._multilabel:
                return home.xp.astype(probabilities > 0.5, home.xp.int64)
            codes = home.xp.argmax(probabilities, axis=1)
            if home.owns(self.classes_):
                return home.xp.take(self.classes_, codes, axis=0)
        return self.classes_[home.to_numpy(codes)]

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.classifier_tags.multi_label = True
        return tags
