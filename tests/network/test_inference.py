"""What evaluate and the history measure: all rows, in inference mode, in the order in which it happened."""

import csv
import io
import json

import numpy as np
import pytest
from click.testing import CliRunner

from portnn import ArgumentError, DataError, Dropout, NeuralNetwork, Standardize, Unstandardize
from portnn.cli import main
from portnn.model import runtime
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


def test_metrics_see_what_the_dtype_would_round(backend, tmp_path):
    """In float32 there are steps of 128 at 1.7e9: targets are measured as they came, outputs on the targets' scale."""
    x, noise = RNG.standard_normal((64, 4)), 20 * RNG.standard_normal((64, 1))
    net = NeuralNetwork(4, Standardize(), 1, Unstandardize(), seed=0, backend=backend)
    net.fit(x, 1.7e9 + 1e4 * x[:, :1])
    y = np.asarray(net.to("numpy", dtype="float64").predict(x)) + noise
    rmse = np.sqrt(np.mean(noise**2))
    np.save(tmp_path / "x.npy", x)
    mapped = np.load(tmp_path / "x.npy", mmap_mode="r")
    for data in ((x, y), (x, y[:, 0]), (mapped, y), ([(x[:40], y[:40]), (x[40:], y[40:])], None)):
        assert net.evaluate(*data, metrics=["rmse"])["rmse"] == pytest.approx(rmse, rel=1e-3)
    whole = np.round(y).astype(np.int64)
    loss = NeuralNetwork(4, 1, loss="mse", seed=0, backend=backend)
    loss.set_parameters({"W1": np.zeros((4, 1))})
    assert loss.evaluate(x, whole, metrics=["mae"])["mae"] == pytest.approx(whole.mean(), rel=1e-12)
    history = net.fit(x, y, validation=(x, y), metrics=["rmse"], epochs=2)
    exact = np.asarray(net.to("numpy", dtype="float64").predict(x))
    for name in ("rmse", "validation_rmse"):
        assert history.metrics[name][-1] == pytest.approx(np.sqrt(np.mean((exact - y) ** 2)), rel=1e-3)


def test_metrics_of_counts_compare_counts(backend, tmp_path):
    """The outputs of the loss poisson are logarithms: metrics, and predictions on the command line, are of exp."""
    x = RNG.standard_normal((200, 2)).round(3)
    y = RNG.poisson(np.exp(1 + x @ [0.8, -0.5]))
    net = NeuralNetwork(2, Standardize(), 1, loss="poisson", seed=0, backend=backend, learning_rate=0.05)
    net.fit(x, y, epochs=20)
    counts = np.exp(np.asarray(net.to("numpy").predict(x), np.float64)[:, 0])
    r2 = 1 - np.sum((y - counts) ** 2) / np.sum((y - y.mean()) ** 2)
    assert r2 > 0.5

    def largest(outputs, y):
        return np.max(outputs)

    found = net.evaluate(x, y, metrics=["r2", "mae", largest])
    assert found["r2"] == pytest.approx(r2, rel=1e-5)
    assert found["mae"] == pytest.approx(np.abs(y - counts).mean(), rel=1e-5)
    assert found["largest"] == pytest.approx(counts.max(), rel=1e-5)


def test_the_command_line_predicts_counts(tmp_path):
    x = RNG.standard_normal((300, 2)).round(3)
    y = RNG.poisson(np.exp(3 + x @ [0.8, -0.5]))
    path, model = tmp_path / "d.csv", tmp_path / "m.safetensors"
    path.write_text("\n".join(["a,b,count", *(f"{a},{b},{n}" for (a, b), n in zip(x.tolist(), y, strict=True))]))

    def run(*arguments):
        result = CliRunner().invoke(main, [str(argument) for argument in arguments])
        assert result.exit_code == 0, result.output
        return result.stdout

    loss = ("--loss", "poisson", "--task", "regression", "--learning-rate", "0.01")
    trained = json.loads(run("train", path, "--target", "count", "--save", model, *loss, "--json"))
    assert trained["r2"] > 0.5
    counts, logs = (
        np.array(list(csv.reader(io.StringIO(run("predict", model, path, *options))))[1:], float)[:, 0]
        for options in ((), ("--outputs",))
    )
    np.testing.assert_allclose(counts, np.exp(logs), rtol=1e-12)
    r2 = 1 - np.sum((y - counts) ** 2) / np.sum((y - y.mean()) ** 2)
    assert json.loads(run("evaluate", model, path, "--json"))["r2"] == pytest.approx(r2, rel=1e-9)
