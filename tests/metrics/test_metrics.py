"""Metrics are scikit-learn's, on random and on degenerate cases, and the network measures with them."""

import math
import warnings

import numpy as np
import pytest
import registered

from portnn import ArgumentError, NeuralNetwork, callbacks, metrics
from portnn.metrics import METRICS, Metric

RNG = np.random.default_rng(0)


@pytest.mark.parametrize("name", METRICS)
def test_by_definition(name):
    """Pages of the table of everything: of three classes as one-hot rows, or values."""
    outputs = RNG.random((50, 3))
    truth = RNG.standard_normal((50, 3)) if METRICS[name].regression_only else np.eye(3)[RNG.integers(0, 3, 50)]
    expected = registered.METRICS[name](outputs, truth)
    assert METRICS[name]()(outputs, truth) == pytest.approx(expected, rel=1e-12)


# ---- scikit-learn


def probabilities(rows, classes, coarse=False):
    """Return (rows, classes), or (rows, 1) for two; coarse ones have ties."""
    p = RNG.dirichlet(np.ones(classes), rows)
    if coarse:
        p = np.round(p * 8) + 1.0
        p /= p.sum(axis=1, keepdims=True)
    return p


CASES = {
    "three classes": (probabilities(60, 3), RNG.integers(0, 3, 60)),
    "ties": (probabilities(60, 4, coarse=True), RNG.integers(0, 4, 60)),
    "two classes": (probabilities(40, 2), RNG.integers(0, 2, 40)),
    "one probability": (probabilities(40, 2, coarse=True)[:, 1:], RNG.integers(0, 2, 40)),
    "a class without a row": (probabilities(30, 3), RNG.integers(0, 2, 30)),
    "a class that is never taken": (np.c_[probabilities(30, 2), np.zeros(30)], RNG.integers(0, 3, 30)),
    "a class that is nowhere": (np.c_[probabilities(30, 2), np.zeros(30)], RNG.integers(0, 2, 30)),
    "one class alone": (probabilities(30, 2), np.ones(30, int)),
    "one row": (probabilities(1, 3), np.array([2])),
    "certain and wrong": (np.eye(3)[RNG.integers(0, 3, 30)], RNG.integers(0, 3, 30)),
}


def weights(rows, kind):
    return {"plain": None, "weights": RNG.random(rows) * 3, "zeros": (np.arange(rows) % 3 > 0) * 1.0}[kind]


def asked(function, *arguments, **options):
    """Return what scikit-learn says; NaN where it says that there is nothing to say."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            return float(function(*arguments, **options))
        except ValueError:
            return math.nan


def of_classes(name, p, y, weight):
    """Return (ours, theirs) of each way of asking for a metric of classes."""
    sk = pytest.importorskip("sklearn.metrics")
    both = p if p.shape[1] > 1 else np.c_[1 - p, p]
    count, taken = both.shape[1], both.argmax(axis=1) if p.shape[1] > 1 else (p[:, 0] > 0.5).astype(int)
    known = {"sample_weight": weight}
    if name in ("precision", "recall", "f1"):
        theirs = getattr(sk, f"{name}_score")
        for average in ("macro", "weighted", "micro"):
            yield Metric.named(name, average=average)(p, y, weight), asked(theirs, y, taken, average=average, **known)
        for label in range(count):
            each = asked(theirs, y, taken, labels=[label], average="macro", zero_division=0, **known)
            yield Metric.named(name, average=label)(p, y, weight), each
        default = {"average": "binary" if count == 2 else "macro"}
        yield METRICS[name]()(p, y, weight), asked(theirs, y, taken, **default, **known)
    elif name == "top_k":
        for k in range(1, count):
            options = {"k": k, "labels": range(count), **known}
            scores = p[:, 0] if p.shape[1] == 1 else p[:, 1] if count == 2 else p
            yield Metric.named("top_k", k=k)(p, y, weight), asked(sk.top_k_accuracy_score, y, scores, **options)
    elif name == "roc_auc":
        scores = both[:, 1] if count == 2 else both
        options = {"multi_class": "ovr", "labels": range(count)} if count > 2 else {}
        yield METRICS[name]()(p, y, weight), asked(sk.roc_auc_score, y, scores, **options, **known)
    elif name == "log_loss":
        yield METRICS[name]()(p, y, weight), asked(sk.log_loss, y, both, labels=range(count), **known)
    else:
        theirs = {"accuracy": sk.accuracy_score, "balanced_accuracy": sk.balanced_accuracy_score}[name]
        yield METRICS[name]()(p, y, weight), asked(theirs, y, taken, **known)


@pytest.mark.parametrize("kind", ["plain", "weights", "zeros"])
@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("name", [name for name, metric in METRICS.items() if not metric.regression_only])
def test_metrics_of_classes_are_scikit_learns(name, case, kind):
    p, y = CASES[case]
    weight = weights(len(y), kind if len(y) > 1 else "plain")
    for got, expected in of_classes(name, p, y, weight):
        np.testing.assert_allclose(got, expected, rtol=1e-12, atol=1e-12)


VALUES = {
    "random": (RNG.standard_normal((50, 3)), RNG.standard_normal((50, 3))),
    "far from zero": (RNG.standard_normal((50, 1)) + 1e6, RNG.standard_normal((50, 1)) + 1e6),
    "a constant": (np.full((5, 2), 0.1), np.c_[np.full(5, 0.1), np.arange(5)]),
    "a constant that is missed": (np.full((5, 1), 0.1), np.full((5, 1), 0.2)),
    "one row": (np.ones((1, 2)), np.zeros((1, 2))),
}


@pytest.mark.parametrize("kind", ["plain", "weights"])
@pytest.mark.parametrize("case", VALUES)
@pytest.mark.parametrize(
    ("name", "theirs"),
    [
        ("mae", "mean_absolute_error"),
        ("mse", "mean_squared_error"),
        ("rmse", "root_mean_squared_error"),
        ("r2", "r2_score"),
    ],
)
def test_metrics_of_values_are_scikit_learns(name, theirs, case, kind):
    sk = pytest.importorskip("sklearn.metrics")
    outputs, y = VALUES[case]
    weight = weights(len(y), kind)
    expected = asked(getattr(sk, theirs), y, outputs, sample_weight=weight)
    got = METRICS[name]()(outputs, y, weight)
    if "constant" in case and name == "r2":  # scikit-learn's weighted mean of equal numbers may be another number
        met = [1.0] if case == "a constant" else [0.0]
        each = [asked(sk.r2_score, y[:, i], outputs[:, i], sample_weight=weight) for i in range(1, y.shape[1])]
        expected = np.mean([*met, *each])
    np.testing.assert_allclose(got, expected, rtol=1e-12, atol=1e-12)


def test_the_confusion_matrix_and_the_scores_of_each_class():
    p = np.eye(3)[[0, 0, 1, 2, 2, 2]]
    y = np.array([0, 1, 1, 2, 2, 0])
    assert metrics.confusion_matrix(p, y).tolist() == [[1, 0, 1], [1, 1, 0], [0, 0, 2]]
    weighted = metrics.confusion_matrix(p, y, np.array([1, 2, 3, 4, 5, 6.0]))
    assert weighted.tolist() == [[1, 0, 6], [2, 3, 0], [0, 0, 9]]
    scores = metrics.per_class(p, y)
    assert scores["support"].tolist() == [2, 2, 2]
    np.testing.assert_allclose(scores["precision"], [1 / 2, 1, 2 / 3])
    np.testing.assert_allclose(scores["recall"], [1 / 2, 1 / 2, 1])
    np.testing.assert_allclose(scores["f1"], [1 / 2, 2 / 3, 4 / 5])
    assert metrics.confusion_matrix(np.array([[0.2], [0.7]]), np.array([1, 1])).tolist() == [[0, 0], [1, 1]]


# ---- in a network


X = RNG.standard_normal((50, 4))
LABELS = RNG.integers(0, 3, 50)
WEIGHT = RNG.random(50)


def classifier(**options):
    return NeuralNetwork(4, 8, 3, output="softmax", loss="cross_entropy", seed=0, dtype="float64", **options)


def test_a_network_measures_with_them(backend):
    """By name, with options, by a function of one's own; weighted as the rows are; on the host in float64."""

    def first_right(outputs, y):
        assert type(outputs) is type(y) is np.ndarray
        return (outputs.argmax(axis=1) == y)[0]

    net = classifier(backend=backend)
    asked_for = ["f1", Metric.named("top_k", k=2), "log_loss", first_right]
    history = net.fit(X, LABELS, epochs=2, metrics=asked_for, validation=(X, LABELS), sample_weight=WEIGHT)
    names = ["f1", "top_k(k=2)", "log_loss", "first_right"]
    assert list(history.metrics) == [*names, "validation_loss", *(f"validation_{name}" for name in names)]
    p = np.asarray(net.predict(X))
    found = net.evaluate(X, LABELS, metrics=asked_for, sample_weight=WEIGHT)
    assert found["f1"] == pytest.approx(METRICS["f1"]()(p, LABELS, WEIGHT), rel=1e-12)
    assert found["top_k(k=2)"] == pytest.approx(Metric.named("top_k", k=2)(p, LABELS, WEIGHT), rel=1e-12)
    # cross-entropy is the same loss, of rows weighted to a mean of one
    assert found["log_loss"] == pytest.approx(found["loss"], rel=1e-9)
    assert found["f1"] != METRICS["f1"]()(p, LABELS)
    assert history.metrics["validation_log_loss"][-1] == pytest.approx(METRICS["log_loss"]()(p, LABELS), rel=1e-9)
    assert history.metrics["log_loss"][-1] == pytest.approx(found["log_loss"], rel=1e-12)


def test_what_is_no_metric_is_refused():
    net = classifier()
    for given, message in (
        (["acuracy"], "metrics: expected one of accuracy, "),
        ("f1", "metrics: expected a list of names; got 'f1'"),
        ([3], "metrics: expected one of accuracy, .*; got 3"),
        (["f1", "f1"], "metrics: expected different names; got 'f1' twice"),
        (["rmse"], "metrics: 'rmse' is for targets that are values; got class labels"),
    ):
        with pytest.raises(ArgumentError, match=message):
            net.evaluate(X, LABELS, metrics=given)
    for name, options, message in (
        ("f1", {"k": 3}, "f1 has the options average; got 'k'"),
        ("accuracy", {"k": 3}, "accuracy has the options none; got 'k'"),
        ("top_k", {"k": 0}, "k: expected a positive int; got 0"),
        ("f1", {"average": "mean"}, "average: expected one of macro, weighted, micro, binary; got 'mean'"),
        ("f2", {}, "metric: expected one of"),
    ):
        with pytest.raises(ArgumentError, match=message):
            Metric.named(name, **options)


@pytest.mark.parametrize("score", ["precision", "recall", "f1"])
def test_a_weighted_average_counts_each_class_by_its_rows(score):
    """By hand: 5 rows of class 0, 2 of class 1, 1 of class 2."""
    truth, found = np.array([0, 0, 0, 0, 0, 1, 1, 2]), np.array([0, 0, 0, 1, 2, 1, 0, 2])
    precision, recall = np.array([3 / 4, 1 / 2, 1 / 2]), np.array([3 / 5, 1 / 2, 1.0])
    by_class = {"precision": precision, "recall": recall, "f1": 2 * precision * recall / (precision + recall)}[score]
    expected = np.sum(by_class * [5, 2, 1]) / 8
    assert Metric.named(score, average="weighted")(np.eye(3)[found], truth) == pytest.approx(expected, rel=1e-12)


def test_what_a_metric_says_of_itself_by_the_old_names():
    def largest(outputs, y, weight=None):
        return np.abs(outputs - y).max()

    with pytest.warns(DeprecationWarning, match=r"Metric\((values|rises)=...\) is now called") as said:
        metric = Metric(largest, values=True, rises=False)
    assert {warning.filename for warning in said} == {__file__}
    assert (metric.regression_only, metric.greater_is_better) == (True, False)
    with pytest.warns(DeprecationWarning, match="rises is now called greater_is_better"):
        assert metric.rises is False


def test_options_at_the_call_are_those_of_the_class():
    outputs, y = RNG.random((40, 6)), RNG.integers(0, 6, 40)
    assert metrics.top_k(outputs, y, k=2) == metrics.TopK(k=2)(outputs, y) < metrics.top_k(outputs, y)
    assert metrics.f1(outputs, y, average="weighted") == metrics.F1(average="weighted")(outputs, y)


# ---- scikit-learn's scorers


def scored(name, model, x, y):
    from sklearn.metrics import get_scorer

    return asked(get_scorer(name), model, x, y)


def test_scorers_of_scikit_learn_are_what_scikit_learn_says():
    """All of its names, on the network's outputs and on a model of scikit-learn with the same weights."""
    pytest.importorskip("sklearn")
    from sklearn.metrics import get_scorer_names
    from sklearn.neural_network import MLPClassifier, MLPRegressor

    rng = np.random.default_rng(0)
    x = rng.standard_normal((60, 3))
    classes = (x[:, 0] > 0).astype(int) + (x[:, 1] > 0.5)
    several = (x + 0.2 * rng.standard_normal(x.shape) > 0).astype(int)
    small = {"hidden_layer_sizes": (4,), "solver": "lbfgs", "max_iter": 5, "random_state": 0}
    cases = [
        (MLPClassifier, classes, classes),
        (MLPClassifier, classes > 0, classes > 0),
        (MLPClassifier, several, several),
        (MLPRegressor, np.abs(x[:, 0]) + 1.0, np.abs(x[:, :1]) + 1.0),
        (MLPRegressor, x[:, :2], x[:, :2]),
    ]
    found = set()
    for kind, targets, given in cases:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            model = kind(**small).fit(x, targets)
        net = NeuralNetwork.from_sklearn(model, backend="numpy")
        for name in sorted(set(get_scorer_names()) - set(METRICS)):
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                try:
                    got = net.evaluate(x, given, metrics=[name])[name]
                except ArgumentError:  # of the other kind
                    continue
            expected = scored(name, model, x, targets)
            np.testing.assert_allclose(got, expected, rtol=1e-9, atol=1e-12, err_msg=name)
            found.add(name)
    few = {"neg_mean_poisson_deviance", "positive_likelihood_ratio", "roc_auc_ovr", "average_precision"}
    assert few | {"neg_log_loss", "matthews_corrcoef", "f1_samples", "neg_mean_squared_error"} <= found
    assert found == set(get_scorer_names()) - set(METRICS)


def test_a_scorer_in_a_history_with_weights_and_early_stopping():
    pytest.importorskip("sklearn")
    net = NeuralNetwork(2, 4, 2, output="softmax", loss="cross_entropy", seed=0)
    x = np.random.default_rng(0).standard_normal((40, 2))
    y = (x[:, 0] > 0).astype(int)
    stop = callbacks.EarlyStopping("validation_neg_log_loss", patience=50)
    history = net.fit(x, y, epochs=3, validation=(x, y), metrics=["neg_log_loss", "log_loss"], callbacks=[stop])
    assert history.metrics["neg_log_loss"] == pytest.approx([-v for v in history.metrics["log_loss"]], rel=2e-7)
    weight = np.arange(40.0) + 1.0
    got = net.evaluate(x, y, sample_weight=weight, metrics=["neg_log_loss", "log_loss"])
    assert got["neg_log_loss"] == pytest.approx(-got["log_loss"], rel=2e-7)


def test_scorers_that_do_not_suit(monkeypatch):
    pytest.importorskip("sklearn")
    classifier = NeuralNetwork(2, 4, 2, output="softmax", loss="cross_entropy", seed=0)
    values = NeuralNetwork(2, 4, 1, loss="mse", seed=0)
    x, y = np.zeros((4, 2)), np.array([0, 1, 0, 1])
    with pytest.raises(ArgumentError, match="'neg_max_error' of scikit-learn is for values; got outputs that are cla"):
        classifier.evaluate(x, y, metrics=["neg_max_error"])
    with pytest.raises(ArgumentError, match="'neg_log_loss' of scikit-learn is for classes; got outputs that are val"):
        values.evaluate(x, y * 1.0, metrics=["neg_log_loss"])
    with pytest.raises(ArgumentError, match=r"'neg_log_loss' of scikit-learn: .*labels"):
        classifier.evaluate(x, np.zeros(4, int), metrics=["neg_log_loss"])
    with pytest.raises(ArgumentError, match=r"metrics: expected one of .*; got 'neg_log_los'"):
        classifier.evaluate(x, y, metrics=["neg_log_los"])
    import sys

    monkeypatch.setitem(sys.modules, "sklearn.metrics", None)
    monkeypatch.delitem(sys.modules, "portnn.metrics.scorers")
    monkeypatch.delattr("portnn.metrics.scorers")
    with pytest.raises(ArgumentError, match=r"scorer of scikit-learn, which is not installed \(pip install 'portnn"):
        classifier.evaluate(x, y, metrics=["neg_log_loss"])
