"""The regressor."""

from dataclasses import dataclass
from typing import Any, Self

import numpy as np
from sklearn.base import RegressorMixin

from portnn.nn import losses
from portnn.nn.preprocessing import Unstandardize
from portnn.sklearn.base import NeuralNetworkEstimator, home_of
from portnn.types import Array


@dataclass(eq=False, repr=False)
class NeuralNetworkRegressor(RegressorMixin, NeuralNetworkEstimator):  # type: ignore[misc]
    """A network that predicts numbers, one or several a row, with scikit-learn's interface.

    Parameters
    ----------
    loss : str or Loss, optional
        None: mse. For poisson ``predict`` returns rates.
    standardize : bool
        Whether the columns are standardised, and the network's outputs brought to the scale of the targets.
    **others
        As for ``NeuralNetworkClassifier``.

    Attributes
    ----------
    network_, n_iter_, loss_curve_, history_
        As for ``NeuralNetworkClassifier``.

    Examples
    --------
    >>> from sklearn.datasets import load_diabetes
    >>> from portnn.sklearn import NeuralNetworkRegressor
    >>> x, y = load_diabetes(return_X_y=True)
    >>> model = NeuralNetworkRegressor((16,), learning_rate=0.01, max_iter=20, random_state=0).fit(x, y)
    >>> model.score(x, y) > 0.4
    True
    """

    def fit(self, X: Any, y: Any, sample_weight: Any = None) -> Self:
        """Train on all rows, for ``max_iter`` epochs at most.

        Parameters
        ----------
        X : array or data frame
            (rows, features). Columns of a frame may have texts, dates and gaps.
        y : array or column
            (rows,) or (rows, outputs).
        sample_weight : array, optional
            (rows,).

        Returns
        -------
        NeuralNetworkRegressor
        """
        return self._fit(X, y, sample_weight, self.warm_start and hasattr(self, "network_"), self.max_iter)

    def partial_fit(self, X: Any, y: Any, sample_weight: Any = None) -> Self:
        """Train on a chunk of the data for one epoch; the first call learns means and deviations.

        Parameters
        ----------
        X, y, sample_weight
            As for ``fit``.

        Returns
        -------
        NeuralNetworkRegressor
        """
        return self._fit(X, y, sample_weight, hasattr(self, "network_"), 1)

    def _fit(self, X: Any, y: Any, sample_weight: Any, goes_on: bool, epochs: int) -> Self:
        with self._unchanged_by_errors():
            X, y = self._data(X, y, reset=not goes_on)
            y = y.astype(np.float64, copy=False)
            if not goes_on:
                self._loss = self.loss or "mse"  # the fitted one: set_params may change the other
                loss = losses.find(self._loss)
                last = [Unstandardize()] if self.standardize and loss.inverse_link is None else []
                outputs = 1 if y.ndim == 1 else y.shape[1]
                self._begin(self._network(X, outputs, loss.pair or "identity", self._loss, last))
            self._ndim = y.ndim
            self._train(X, y, sample_weight, epochs, stops=epochs > 1)
        return self

    def predict(self, X: Any) -> Array:
        """Return the predicted numbers.

        Parameters
        ----------
        X : array or data frame

        Returns
        -------
        array
            (rows,), or (rows, outputs) where y had several columns; in X's library.
        """
        X = self._inputs(X, "predict")
        outputs, home = self.network_.predict(X), home_of(X)
        link = losses.find(self._loss).inverse_link
        with home.scope():
            outputs = outputs if link is None else link(home.xp, outputs)
            return outputs if self._ndim == 2 else outputs[:, 0]

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.target_tags.multi_output = True
        tags.target_tags.single_output = True
        return tags
