"""Fitted perceptrons of scikit-learn as networks: the same predictions, classes and names."""

import numpy as np
import pytest

from portnn import SGD, Adam, ArgumentError, BackendUnavailableError, NeuralNetwork, NotFittedError

pytest.importorskip("sklearn")
from sklearn.datasets import load_iris
from sklearn.neural_network import MLPClassifier, MLPRegressor

X, Y = load_iris(return_X_y=True)
SMALL = {"hidden_layer_sizes": (7, 5), "max_iter": 30, "random_state": 0}


def fitted(kind, y, x=X, **options):
    return kind(**SMALL, **options).fit(x, y)


@pytest.mark.filterwarnings("ignore:Stochastic Optimizer", "ignore:lbfgs", "ignore:scipy.optimize")
@pytest.mark.parametrize("activation", ["identity", "logistic", "tanh", "relu"])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize(
    "labels", [np.array(["setosa", "versicolor", "virginica"])[Y], Y + 3, Y == 1, np.stack([Y > 0, Y > 1], 1)],
    ids=["texts", "numbers", "two classes", "several labels"],
)  # fmt: skip
def test_classifiers(activation, dtype, labels):
    model = fitted(MLPClassifier, labels, X.astype(dtype), activation=activation)
    net = NeuralNetwork.from_sklearn(model, backend="numpy")
    assert net.dtype == dtype
    rows, probabilities = X.astype(dtype), model.predict_proba(X.astype(dtype))
    predicted = net.predict(rows)
    predicted = np.concatenate([1.0 - predicted, predicted], 1) if predicted.shape[1] == 1 else predicted
    # Sums of at most 7 terms, three layers; sizes of activations and weights are near 1.
    np.testing.assert_allclose(predicted, probabilities, rtol=0, atol=200 * np.finfo(dtype).eps)
    if labels.ndim == 1:
        assert net.predict_classes(rows).tolist() == model.predict(rows).tolist()
        assert net.classes == tuple(model.classes_.tolist())
    more = net.fit(rows, labels, epochs=1)
    assert np.isfinite(more.loss).all()


@pytest.mark.filterwarnings("ignore:Stochastic Optimizer", "ignore:lbfgs", "ignore:scipy.optimize")
@pytest.mark.parametrize("targets", [X[:, 2], X[:, 2:]], ids=["one", "two"])
def test_regressions(targets):
    model = fitted(MLPRegressor, targets, X[:, :2], solver="lbfgs")
    net = NeuralNetwork.from_sklearn(model, backend="numpy")
    expected = model.predict(X[:, :2]).reshape(len(X), -1)
    np.testing.assert_allclose(net.predict(X[:, :2]), expected, rtol=0, atol=1e-12)
    assert (net.loss, type(net.optimizer)) == ("mse", Adam)


@pytest.mark.filterwarnings("ignore:Stochastic Optimizer")
def test_counts():
    model = fitted(MLPRegressor, Y, loss="poisson")
    net = NeuralNetwork.from_sklearn(model, backend="numpy")
    assert net.loss == "poisson"
    np.testing.assert_allclose(np.exp(net.predict(X))[:, 0], model.predict(X), rtol=1e-12)


@pytest.mark.filterwarnings("ignore:Stochastic Optimizer")
def test_names_of_columns_and_options_of_the_optimizer():
    pandas = pytest.importorskip("pandas")
    frame = pandas.DataFrame(X, columns=["a", "b", "c", "d"])
    model = fitted(MLPClassifier, Y, frame, solver="sgd", learning_rate_init=0.05, momentum=0.8)
    net = NeuralNetwork.from_sklearn(model, backend="numpy")
    assert net.columns == ("a", "b", "c", "d")
    assert net.optimizer == SGD(0.05, momentum=0.8, nesterov=True)
    shuffled = frame[["d", "a", "c", "b"]]
    np.testing.assert_allclose(net.predict(shuffled), model.predict_proba(frame), rtol=0, atol=1e-13)


def test_what_is_refused(monkeypatch):
    with pytest.raises(ArgumentError, match="model: expected an MLPClassifier or MLPRegressor; got dict"):
        NeuralNetwork.from_sklearn({})
    with pytest.raises(NotFittedError, match="model: expected a fitted MLPClassifier"):
        NeuralNetwork.from_sklearn(MLPClassifier())
    import sys

    import portnn.conversion

    monkeypatch.setitem(sys.modules, "sklearn.neural_network", None)
    monkeypatch.delitem(sys.modules, "portnn.conversion.sklearn_models")
    monkeypatch.delattr(portnn.conversion, "sklearn_models")
    with pytest.raises(BackendUnavailableError, match=r"from_sklearn: .*pip install 'portnn\[sklearn\]'"):
        NeuralNetwork.from_sklearn({})
