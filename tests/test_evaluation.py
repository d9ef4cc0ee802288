"""What evaluate and the history measure: all rows, in inference mode, in the order in which it happened."""

import numpy as np
import pytest

from portnn import ArgumentError, DataError, Dropout, NeuralNetwork, Standardize
from portnn.core import runtime
from portnn.nn import random

RNG = np.random.default_rng(3)
X, Y, LABELS = RNG.standard_normal((23, 4)), RNG.standard_normal((23, 3)), RNG.integers(0, 3, 23)


def values(**options):
    return NeuralNetwork(4, Standardize(), 8, Dropout(0.5), 3, **{"seed": 0, "dtype": "float64", **options})


def classifier(**options):
    return values(output="softmax", loss="cross_entropy", **options)


def expected(net, x, y):
    """Return what the network measures, computed by NumPy from its predictions."""
    outputs = np.asarray(net.predict(x))
    if net.loss == "cross_entropy":
        chosen = outputs[np.arange(len(y)), y]
        return {"loss": -np.log(chosen).mean(), "accuracy": np.mean(outputs.argmax(axis=1) == y)}
    squares = (outputs - y) ** 2
    r2 = np.mean(1 - squares.sum(axis=0) / ((y - y.mean(axis=0)) ** 2).sum(axis=0))
    loss = squares.sum() if net.loss == "sse" else squares.mean()
    return {"loss": loss, "mae": np.abs(outputs - y).mean(), "r2": r2}


@pytest.mark.parametrize("rows", [23, 10, 5, 1])
@pytest.mark.parametrize("loss", ["mse", "sse", "cross_entropy"])
def test_evaluate_measures_all_rows(backend, loss, rows, monkeypatch):
    """In batches of any size, the short last one included: no mean of means, no batch left out."""
    monkeypatch.setattr(runtime, "PREDICT_ROWS", rows)
    net, y = (classifier(backend=backend), LABELS) if loss == "cross_entropy" else (values(loss=loss), Y)
    net.fit(X, y)
    measured = expected(net, X, y)
    metrics = [name for name in measured if name != "loss"]
    assert net.evaluate(X, y, metrics=metrics) == pytest.approx(measured, rel=1e-9)


def test_history_is_what_happened_in_its_order():
    """Each epoch's entries against a network that was trained for so many epochs and no more."""
    kept, held = random.split(23, 0.25, 0, LABELS)
    history = classifier().fit(X, LABELS, epochs=4, batch_size=6, validation=0.25, metrics=["accuracy"])
    assert set(history.metrics) == {"accuracy", "validation_loss", "validation_accuracy"}
    for epoch in range(4):
        net = classifier()
        shorter = net.fit(X, LABELS, epochs=epoch + 1, batch_size=6, validation=0.25, metrics=["accuracy"])
        trained, validated = (net.evaluate(X[part], LABELS[part], metrics=["accuracy"]) for part in (kept, held))
        assert history.loss[epoch] == shorter.loss[-1]
        assert history.metrics["accuracy"][epoch] == trained["accuracy"]
        assert history.metrics["validation_accuracy"][epoch] == validated["accuracy"]
        assert history.metrics["validation_loss"][epoch] == pytest.approx(validated["loss"], rel=1e-12)
    assert len({*history.loss}) == len({*history.metrics["validation_loss"]}) == 4
    assert history.metrics["accuracy"] != history.metrics["validation_accuracy"]


@pytest.mark.parametrize("loss", ["mse", "sse"])
def test_the_loss_of_an_epoch_is_that_of_its_rows(loss):
    """Before each step; with weights and a short last batch: the mean over rows, not over batches."""
    weight = RNG.integers(1, 5, 23).astype(float)
    net = NeuralNetwork(4, 3, loss=loss, optimizer="sgd", learning_rate=1e-300, seed=0, dtype="float64")
    squares = (np.asarray(net.predict(X)) - Y) ** 2
    one = net.to().fit(X, Y, batch_size=5).loss[0]
    weighted = net.to().fit(X, Y, batch_size=5, sample_weight=weight).loss[0]
    assert one == pytest.approx(squares.mean() if loss == "mse" else squares.sum(), rel=1e-12)
    rows = squares.mean(axis=1) if loss == "mse" else squares.sum(axis=1)
    total = (rows * weight).sum() / weight.sum() if loss == "mse" else (rows * weight).sum()
    assert weighted == pytest.approx(total, rel=1e-12)


def test_weights_and_targets_follow_the_shuffle(backend):
    weight = RNG.integers(0, 5, 23)
    order = random.generator(0, random.SHUFFLE, 0).permutation(23)
    shuffled, sorted_ = (NeuralNetwork(4, 6, 3, backend=backend, seed=0) for _ in range(2))
    one = shuffled.fit(X, Y, batch_size=5, sample_weight=weight)
    other = sorted_.fit(X[order], Y[order], batch_size=5, sample_weight=weight[order], shuffle=False)
    assert one.loss == other.loss
    assert shuffled.fingerprint() == sorted_.fingerprint()


def test_standardising_is_learnt_from_the_rows_that_train():
    kept, held = random.split(23, 0.25, 0)
    x = X + np.isin(np.arange(23), held)[:, None] * 1000.0
    net = values()
    net.fit(x, Y, validation=0.25)
    np.testing.assert_allclose(net.buffers["mean1"] + net.buffers["rest1"], x[kept].mean(axis=0), rtol=1e-12)


def test_the_fingerprint_covers_all_that_was_learnt():
    net = values()
    net.fit(X, Y)
    other = net.to()
    other._runtime.assign({"mean1": np.asarray(other.buffers["mean1"]) + 1.0})
    assert other.fingerprint() != net.fingerprint()
    other = net.to()
    other.set_parameters({"b2": np.nextafter(np.asarray(net.parameters["b2"]), 9)})
    assert other.fingerprint() != net.fingerprint() == net.to().fingerprint()
    assert net.to(dtype="float32").fingerprint() != net.fingerprint()


def test_two_fits_are_one_of_as_many_epochs():
    net, other = values(), values()
    first, second = net.fit(X, Y, epochs=2), net.fit(X, Y, epochs=3)
    assert other.fit(X, Y, epochs=5).loss == [*first.loss, *second.loss]


# ---- weights of classes


def test_weights_of_classes_are_those_of_their_rows():
    counts = np.bincount(LABELS)
    for weight, each in (
        ({0: 0.5, 1: 2.0, 2: 3.0}, np.array([0.5, 2.0, 3.0])),
        ("balanced", len(LABELS) / (3 * counts)),
    ):
        one, other = classifier(), classifier()
        found = one.fit(X, LABELS, epochs=2, sample_weight=weight, validation=0.25, metrics=["accuracy"])
        plain = other.fit(X, LABELS, epochs=2, sample_weight=each[LABELS], validation=0.25, metrics=["accuracy"])
        assert one.fingerprint() == other.fingerprint()
        assert (found.loss, found.metrics) == (plain.loss, plain.metrics)
    np.testing.assert_allclose((len(LABELS) / (3 * counts)) @ counts, len(LABELS))
    with pytest.raises(DataError, match="sample_weight: expected a weight for each class; got none for 2"):
        classifier().fit(X, LABELS, sample_weight={0: 1, 1: 1})
    with pytest.raises(ArgumentError, match="sample_weight: expected one of balanced; got 'even'"):
        classifier().fit(X, LABELS, sample_weight="even")


def test_validation_has_its_share_of_each_class():
    labels = np.repeat([0, 1], [18, 5])
    seen = []
    net = NeuralNetwork(4, 6, 2, output="softmax", loss="cross_entropy", seed=0)
    net.fit(X, labels, validation=0.4, metrics=[lambda outputs, y: seen.append(np.bincount(y).tolist()) or 0.0])
    assert seen == [[11, 3], [7, 2]]
