"""Estimators: scikit-learn's own checks, its pipelines, searches and ensembles, and arrays of other libraries."""

import pickle
import runpy
import sys
from pathlib import Path

import numpy as np
import pytest

from portnn import Adam, Dropout, NeuralNetwork, get_backend
from portnn.backend import host_array

pytest.importorskip("sklearn")
import sklearn
from sklearn.base import clone
from sklearn.calibration import CalibratedClassifierCV
from sklearn.compose import ColumnTransformer
from sklearn.datasets import load_iris
from sklearn.ensemble import BaggingRegressor, StackingClassifier
from sklearn.exceptions import NotFittedError
from sklearn.inspection import permutation_importance
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.multioutput import MultiOutputRegressor
from sklearn.naive_bayes import GaussianNB
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, MinMaxScaler, StandardScaler
from sklearn.utils.estimator_checks import parametrize_with_checks

from portnn.sklearn import NeuralNetworkClassifier, NeuralNetworkRegressor

RNG = np.random.default_rng(0)
X, Y = load_iris(return_X_y=True)
ODD = np.arange(len(X)) % 2 == 1
BOTH = [NeuralNetworkClassifier, NeuralNetworkRegressor]


def quick(kind=NeuralNetworkClassifier, **options):
    return kind((8,), **{"learning_rate": 0.05, "batch_size": 32, "max_iter": 15, "random_state": 0, **options})


@pytest.mark.filterwarnings("ignore")  # the checks provoke scikit-learn's own warnings
@parametrize_with_checks([NeuralNetworkClassifier(), NeuralNetworkRegressor()])
def test_scikit_learns_own_checks(estimator, check):
    if "standin_cupy" in sys.modules and check.keywords.get("array_namespace") == "cupy":
        pytest.skip("cupy: the stand-in has not all that scikit-learn asks of CuPy")
    check(estimator)


# ---- where they stand


def test_what_a_fit_leaves():
    model = quick().fit(X, Y)
    assert (model.n_features_in_, model.n_iter_, len(model.loss_curve_)) == (4, 15, 15)
    assert model.classes_.tolist() == [0, 1, 2]
    assert model.loss_curve_ == model.history_.loss
    assert isinstance(model.network_, NeuralNetwork)
    assert (model.network_.seed, model.network_.dtype) == (0, "float64")
    probabilities = model.predict_proba(X)
    assert probabilities.shape == (150, 3)
    np.testing.assert_allclose(probabilities.sum(axis=1), 1.0, rtol=1e-12)
    np.testing.assert_array_equal(model.predict(X), probabilities.argmax(axis=1))
    assert model.score(X, Y) > 0.9
    assert quick().fit(X.astype(np.float32), Y).network_.dtype == "float32"


def test_it_is_the_network_of_the_same_options():
    model = quick(standardize=False, batch_size=50).fit(X, Y)
    net = NeuralNetwork(
        4, 8, 3, output="softmax", loss="cross_entropy", learning_rate=0.05, seed=0, dtype="float64", backend="numpy"
    )
    net.fit(X, Y, epochs=15, batch_size=50)
    assert model.network_.fingerprint() == net.fingerprint()


def test_texts_as_labels_and_copies_of_a_fitted_model():
    labels = np.array(["setosa", "versicolor", "virginica"])[Y]
    model = quick().fit(X, labels)
    assert model.classes_.tolist() == ["setosa", "versicolor", "virginica"]
    assert (model.predict(X) == labels).mean() > 0.9
    again = pickle.loads(pickle.dumps(model))
    np.testing.assert_array_equal(again.predict_proba(X), model.predict_proba(X))
    assert not hasattr(clone(model), "network_")


def test_several_labels_a_row():
    labels = np.stack([Y == 0, Y > 0, X[:, 0] > 5.8], axis=1).astype(int)
    model = quick().fit(X, labels)
    assert model.predict_proba(X).shape == model.predict(X).shape == (150, 3)
    np.testing.assert_array_equal(model.predict(X), model.predict_proba(X) > 0.5)
    assert (model.predict(X) == labels).mean() > 0.9
    with pytest.raises(ValueError, match=r"y: expected labels, \(rows,\), or an indicator matrix"):
        quick().fit(X, np.stack([Y, Y + 1], axis=1))


def test_several_outputs_and_rates():
    two = quick(NeuralNetworkRegressor).fit(X[:, :2], X[:, 2:])
    assert two.predict(X[:, :2]).shape == (150, 2)
    assert quick(NeuralNetworkRegressor).fit(X[:, :2], X[:, 2:3]).predict(X[:, :2]).shape == (150, 1)
    assert MultiOutputRegressor(quick(NeuralNetworkRegressor)).fit(X[:, :2], X[:, 2:]).score(X[:, :2], X[:, 2:]) > 0.5
    rates = quick(NeuralNetworkRegressor, loss="poisson").fit(X, Y)
    predicted = rates.predict(X)
    assert predicted.min() > 0
    np.testing.assert_allclose(predicted, np.exp(rates.network_.predict(X)[:, 0]), rtol=1e-14)


def test_weights_of_rows_and_of_classes():
    rare = np.where(Y == 2, 0.0, 1.0)
    assert 2 not in quick().fit(X, Y, sample_weight=rare).predict(X)
    assert 2 not in quick(class_weight={0: 1.0, 1: 1.0, 2: 0.0}).fit(X, Y).predict(X)
    both = quick(class_weight={0: 1.0, 1: 0.0, 2: 1.0}).fit(X, Y, sample_weight=rare)
    assert set(both.predict(X)) == {0}
    few = np.concatenate([np.arange(100), [120, 130]])
    balanced, plain = (quick(class_weight=w).fit(X[few], Y[few]).network_.fingerprint() for w in ("balanced", None))
    assert balanced != plain
    with pytest.raises(ValueError, match="sample_weight: expected a weight above zero"):
        quick().fit(X, Y, sample_weight=np.zeros(150))


def test_the_end_of_a_training():
    still = quick(learning_rate=0.0, max_iter=50, n_iter_no_change=3).fit(X, Y)
    assert still.n_iter_ == 4
    assert quick(learning_rate=0.0, max_iter=9, n_iter_no_change=3, tol=None).fit(X, Y).n_iter_ == 9
    held = quick(early_stopping=True, max_iter=50, n_iter_no_change=3).fit(X, Y)
    assert "validation_loss" in held.history_.metrics
    assert held.n_iter_ <= 50
    seen = []
    quick(callbacks=[lambda network, event: seen.append(event.epoch)], max_iter=2).fit(X, Y)
    assert len(seen) == 2


def test_going_on():
    warm = quick(warm_start=True, max_iter=5).fit(X, Y)
    first = warm.network_
    assert warm.fit(X, Y).n_iter_ == 10
    assert warm.network_ is first
    chunks = quick()
    with pytest.raises(ValueError, match="classes: expected all classes at the first call"):
        chunks.partial_fit(X, Y)
    chunks.partial_fit(X[Y < 2], Y[Y < 2], classes=[0, 1, 2])
    for _ in range(12):
        chunks.partial_fit(X[ODD], Y[ODD]).partial_fit(X[~ODD], Y[~ODD])
    assert chunks.n_iter_ == 25
    assert chunks.score(X, Y) > 0.85
    with pytest.raises(ValueError, match=r"y: expected the classes \[0, 1, 2\]; got .*3"):
        chunks.partial_fit(X, Y + 1)
    with pytest.raises(ValueError, match="class_weight: expected weights by label"):
        quick(class_weight="balanced").partial_fit(X, Y, classes=[0, 1, 2])
    numbers = quick(NeuralNetworkRegressor)
    assert numbers.partial_fit(X, Y).partial_fit(X, Y).n_iter_ == 2


def test_an_error_changes_nothing():
    """Neither classes beside an older network, nor a network that was never trained."""
    model = quick(max_iter=2).fit(X, Y)
    before = model.predict(X)
    with pytest.raises(ValueError, match="batch_size"):
        model.set_params(batch_size=0).fit(X[:, :3], Y + 5)
    np.testing.assert_array_equal(model.predict(X), before)
    new = quick(batch_size=0)
    with pytest.raises(ValueError, match="batch_size"):
        new.fit(X, Y)
    with pytest.raises(NotFittedError):
        new.predict(X)
    rates = quick(NeuralNetworkRegressor, loss="poisson", max_iter=2).fit(X, Y)
    before = rates.predict(X)
    with pytest.raises(ValueError, match="batch_size"):
        rates.set_params(batch_size=0, loss="mse").fit(X, -Y)
    np.testing.assert_array_equal(rates.predict(X), before)


def test_going_on_with_other_options_and_targets():
    model = quick(warm_start=True, max_iter=1).fit(X, Y)
    model.set_params(learning_rate=0.0).fit(X, Y)
    assert model.network_.learning_rate == 0.0
    with pytest.raises(ValueError, match=r"classes: expected those of the first call, \[0, 1, 2\]"):
        model.partial_fit(X, Y, classes=[0, 1, 7])
    assert model.partial_fit(X, Y, classes=[2, 1, 0]).classes_.tolist() == [0, 1, 2]
    with pytest.raises(ValueError, match="y: expected targets of the kind of the fit before"):
        model.partial_fit(X, np.eye(3, dtype=int)[Y])
    assert set(model.predict(X)) <= {0, 1, 2}


def test_options_of_the_optimizer_are_parameters():
    model = NeuralNetworkClassifier(optimizer=Adam(0.01))
    assert model.get_params()["optimizer__learning_rate"] == 0.01
    assert NeuralNetworkClassifier(optimizer="sgd").get_params()["optimizer__momentum"] == 0.0
    model.set_params(optimizer__weight_decay=0.5, max_iter=7)
    assert (model.optimizer.weight_decay, model.optimizer.learning_rate, model.max_iter) == (0.5, 0.01, 7)
    assert clone(model).get_params()["optimizer__weight_decay"] == 0.5
    with pytest.raises(ValueError, match="optimizer__momentum: expected one of learning_rate, "):
        model.set_params(optimizer__momentum=0.9)
    with pytest.raises(ValueError, match="optimizer: expected one of sgd"):
        NeuralNetworkClassifier(optimizer="sdg").fit(X, Y)
    search = GridSearchCV(quick(max_iter=2), {"optimizer__weight_decay": [0.0, 0.1]}, cv=2).fit(X, Y)
    assert len(search.cv_results_["params"]) == 2


def test_layers_of_all_kinds():
    model = quick().set_params(hidden_layer_sizes=(16, Dropout(0.1), "gelu", 8))
    assert len(model.fit(X, Y).network_.architecture.layers) == 8
    assert quick().set_params(hidden_layer_sizes=5).fit(X, Y).network_.parameters["W1"].shape == (4, 5)
    assert quick().set_params(hidden_layer_sizes=()).fit(X, Y).network_.parameters["W1"].shape == (4, 3)


def test_random_states():
    draws = [quick(random_state=np.random.RandomState(3), max_iter=1).fit(X, Y).network_.seed for _ in range(2)]
    assert draws[0] == draws[1]
    state = np.random.RandomState(3)
    assert quick(random_state=state, max_iter=1).fit(X, Y).network_.seed == draws[0]
    assert quick(random_state=state, max_iter=1).fit(X, Y).network_.seed != draws[0]


@pytest.mark.filterwarnings("ignore:scipy.optimize:DeprecationWarning")  # scikit-learn 1.7 with a new SciPy
def test_pipelines_and_ensembles():
    columns = ColumnTransformer([("wide", StandardScaler(), [0, 1]), ("narrow", MinMaxScaler(), [2, 3])])
    assert cross_val_score(make_pipeline(columns, quick()), X, Y, cv=3).mean() > 0.85
    assert CalibratedClassifierCV(quick(), cv=2).fit(X, Y).score(X, Y) > 0.85
    bagged = BaggingRegressor(quick(NeuralNetworkRegressor), n_estimators=3, random_state=0).fit(X, Y)
    assert bagged.score(X, Y) > 0.8
    stacked = StackingClassifier([("network", quick()), ("bayes", GaussianNB())], cv=2).fit(X, Y)
    assert stacked.score(X, Y) > 0.9
    importance = permutation_importance(quick().fit(X, Y), X, Y, n_repeats=2, random_state=0)
    assert importance.importances_mean[2:].max() > importance.importances_mean[:2].max()


def test_weights_are_routed():
    with sklearn.config_context(enable_metadata_routing=True):
        model = make_pipeline(FunctionTransformer(), quick().set_fit_request(sample_weight=True))
        weighted = model.fit(X, Y, sample_weight=np.where(Y == 2, 0.0, 1.0))
    assert 2 not in weighted.predict(X)


def test_it_learns_as_well_as_scikit_learns_network():
    ours = cross_val_score(quick(max_iter=60), X, Y, cv=3).mean()
    theirs = make_pipeline(StandardScaler(), MLPClassifier((8,), learning_rate_init=0.05, max_iter=60, random_state=0))
    with pytest.warns(UserWarning, match="Maximum iterations"):
        assert ours > cross_val_score(theirs, X, Y, cv=3).mean() - 0.05


# ---- data frames


@pytest.fixture
def frame():
    """Texts, gaps and dates."""
    pd = pytest.importorskip("pandas")
    rng = np.random.default_rng(0)
    names = rng.choice(["red", "green", "blue"], 120)
    values = rng.normal(size=120)
    y = (names == "red") * 2.0 + values
    columns = {"name": names, "value": np.where(rng.random(120) < 0.1, np.nan, values)}
    return pd.DataFrame(columns | {"day": pd.date_range("2024-01-01", periods=120)}), y


def test_frames_are_taken_as_they_are(frame):
    x, y = frame
    model = quick(NeuralNetworkRegressor, max_iter=60).fit(x, y)
    assert model.feature_names_in_.tolist() == ["name", "value", "day"]
    assert model.n_features_in_ == 3
    assert model.score(x, y) > 0.8
    labels = np.where(y > 1, "high", "low")
    classifier = quick(max_iter=60).fit(x, labels)
    assert classifier.score(x, labels) > 0.85
    assert classifier.predict(x).dtype.kind == "U"
    with pytest.raises(ValueError, match="feature names"):
        model.predict(x.rename(columns={"name": "colour"}))
    with pytest.raises(ValueError, match="NaN"):
        quick(NeuralNetworkRegressor).fit(x, np.where(y > 2, np.nan, y))
    assert quick(NeuralNetworkRegressor, standardize=False).fit(x, y).n_iter_ == 15


def test_a_search_on_a_pipeline_of_a_raw_table():
    pytest.importorskip("pandas")
    example = runpy.run_path(str(Path(__file__).parents[1] / "examples" / "grid_search.py"))
    found = example["search"]()
    assert found.cv_results_["mean_test_score"].max() > 0.8
    assert found.best_estimator_.named_steps["network"].network_.columns[-1] == "age"


@pytest.mark.exhaustive
def test_two_jobs_find_the_numbers_of_one():
    pytest.importorskip("pandas")
    example = runpy.run_path(str(Path(__file__).parents[1] / "examples" / "grid_search.py"))
    one, two = (example["search"](n).cv_results_["mean_test_score"] for n in (1, 2))
    np.testing.assert_array_equal(one, two)


# ---- arrays of other libraries


@pytest.mark.parametrize("kind", BOTH)
def test_arrays_stay_in_their_library(kind, backend):
    """torch, JAX, array-api-strict: fitted there, answered there, with NumPy's numbers."""
    home = get_backend(backend)
    dtype = "float32" if backend.startswith("jax") else "float64"  # scikit-learn's arrays of JAX, without x64
    x, y = home.asarray(X, dtype), home.asarray(Y, "int32")
    model = quick(kind, max_iter=3)
    with sklearn.config_context(array_api_dispatch=True):
        model.fit(x, y)
        results = [model.predict(x)] + ([model.predict_proba(x)] if kind is NeuralNetworkClassifier else [])
        if backend != "numpy":
            with pytest.raises(ValueError, match=r"NeuralNetwork.*\.predict\(\) must use the same namespace"):
                model.predict(X)
    assert model.network_.backend == repr(home)
    assert all(home.owns(result) for result in results)
    expected = quick(kind, max_iter=3).fit(X.astype(dtype), Y)
    rtol = 1e-3 if dtype == "float32" else 1e-9
    for result, method in zip(results, ("predict", "predict_proba"), strict=False):
        np.testing.assert_allclose(host_array(result), getattr(expected, method)(X.astype(dtype)), rtol=rtol)


def test_a_backend_by_name(other):
    model = quick(backend=other, max_iter=2).fit(X, Y)
    assert model.network_.backend == repr(get_backend(other))
    assert isinstance(model.predict(X), np.ndarray)


def test_what_was_not_fitted():
    for method in ("predict", "predict_proba"):
        with pytest.raises(NotFittedError):
            getattr(NeuralNetworkClassifier(), method)(X)
