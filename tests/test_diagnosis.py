"""What a diagnosis names, and what a range test sees."""

import numpy as np
import pytest

from portnn import (
    SGD,
    ArgumentError,
    DataError,
    Dense,
    DivergenceError,
    Dropout,
    Embedding,
    Flatten,
    NeuralNetwork,
    Residual,
    Standardize,
    Unstandardize,
    diagnose,
    find_learning_rate,
)

RNG = np.random.default_rng(0)
X = RNG.standard_normal((60, 5))
Y = X @ RNG.standard_normal((5, 2))


def test_troubled_units_are_named(backend):
    net = NeuralNetwork(5, 8, "relu", 6, "sigmoid", 2, seed=0, backend=backend)
    w1, b1, b2 = (np.array(net.to("numpy").parameters[name]) for name in ("W1", "b1", "b2"))
    b1[[1, 6]] = -1000.0  # never on
    w1[:, 3] *= 1000.0
    b2[4] = 15.0  # sigmoid' = 3e-7
    net.set_parameters({"W1": w1, "b1": b1, "b2": b2})
    before = net.fingerprint(), net.step_count
    found = diagnose(net, X, Y)
    assert (net.fingerprint(), net.step_count) == before
    by_name = {layer.name: layer for layer in found.layers}
    assert list(by_name) == ["1 Dense", "2 relu", "3 Dense", "4 sigmoid", "5 Dense"]
    assert by_name["2 relu"].dead == (1, 6)
    assert 4 in by_name["4 sigmoid"].saturated
    assert 3 in by_name["2 relu"].exploding
    assert set(by_name["1 Dense"].exploding) == {1, 3, 6}
    assert not by_name["1 Dense"].dead + by_name["4 sigmoid"].dead + by_name["5 Dense"].exploding
    text = str(found)
    assert "2 relu: 2 of 8 units dead: no row's gradient comes through: 1, 6" in text
    assert text.splitlines()[0].split() == [
        "layer",
        "output",
        "rms",
        "gradient",
        "rms",
        "dead",
        "saturated",
        "exploding",
    ]


def test_figures_are_those_of_the_step(backend):
    """By hand in NumPy: outputs, the gradients of the mse, and counts of all of them."""
    net = NeuralNetwork(5, 8, "tanh", 2, seed=0, backend=backend, dtype="float64")
    p = {name: np.asarray(value) for name, value in net.to("numpy").parameters.items()}
    z1 = X @ p["W1"] + p["b1"]
    a1 = np.tanh(z1)
    z2 = a1 @ p["W2"] + p["b2"]
    d2 = 2 * (z2 - Y) / Y.size
    da1 = d2 @ p["W2"].T
    d1 = da1 * (1 - a1**2)
    for layer, output, gradient in zip(diagnose(net, X, Y).layers, (z1, a1, z2), (d1, da1, d2), strict=True):
        assert layer.output == pytest.approx(np.sqrt(np.mean(output**2)), rel=1e-12)
        assert layer.gradient == pytest.approx(np.sqrt(np.mean(gradient**2)), rel=1e-12)
        assert np.array_equal(layer.outputs[0], np.histogram(output, bins=60)[0])
        assert layer.gradients[0].sum() == output.size
        assert not layer.findings()


def test_a_healthy_network_is_said_to_be_so():
    """Targets in thousands are Unstandardize's; masks, codes and a frozen start are no trouble."""
    net = NeuralNetwork(5, Standardize(), 16, "tanh", Dropout(0.2), 2, Unstandardize(), seed=0)
    found = diagnose(net, X, 1e6 * Y)
    assert not found.findings
    assert str(found).endswith("nothing found on 60 rows")
    assert [layer.name for layer in found.layers][-1] == "5 Dense"
    codes = NeuralNetwork((3,), Embedding(500, 4), Flatten(), 2, seed=0)
    first, *_ = diagnose(codes, RNG.integers(0, 500, (60, 3)), Y).layers
    assert (first.units, np.isnan(first.gradient)) == (4, False)


def test_a_layer_that_no_gradient_reaches_is_said():
    net = NeuralNetwork(5, 4, "relu", 3, "relu", 2, seed=0)
    net.set_parameters({"b2": [-1000.0] * 3})
    found = diagnose(net, X, Y)
    assert "1 Dense: no gradient arrives" in found.findings
    assert "4 relu: 3 of 3 units dead: no row's gradient comes through: 0, 1, 2" in found.findings
    assert not found.layers[1].dead  # it is not to blame


# ---- the range test


def test_losses_are_those_after_a_step_at_each_rate(backend):
    """A loop by hand on the full batch has the same losses; the network is as it was."""
    net = NeuralNetwork(5, 4, 2, seed=0, optimizer="sgd", backend=backend)
    before = net.fingerprint(), net.learning_rate, net.step_count
    found = find_learning_rate(net, X, Y, low=1e-4, high=1.0, steps=12, batch_size=None)
    assert (net.fingerprint(), net.learning_rate, net.step_count) == before
    assert np.allclose(found.rates, np.geomspace(1e-4, 1.0, 12))
    by_hand, losses = net.to(), []
    for rate in found.rates:
        by_hand.learning_rate = float(rate)
        by_hand.step(X, Y)
        losses.append(by_hand.evaluate(X, Y)["loss"])
    assert found.losses == pytest.approx(losses, rel=1e-5)


def test_the_suggestion_lies_below_where_gradient_descent_diverges():
    """On least squares that is at 2 / the largest eigenvalue of the loss's curvature."""
    net = NeuralNetwork(5, 2, seed=0, optimizer=SGD())
    columns = np.c_[X, np.ones(len(X))]
    limit = 2 / np.linalg.eigvalsh(2 * columns.T @ columns / len(X) / 2).max()
    found = find_learning_rate(net, X, Y, low=limit / 1e5, high=limit * 1e5, steps=100, batch_size=None)
    assert limit / 30 < found.suggestion < limit
    assert len(found.losses) < 100  # ended early
    assert np.all(np.isfinite(found.losses))
    assert found.rates[-1] > limit
    smooth = found.smoothed
    assert smooth[0] == found.losses[0]
    assert smooth[1] == pytest.approx((0.9 * found.losses[0] + found.losses[1]) / 1.9)


def test_batches_and_schedules_and_inferred_widths(digits):
    x, y = digits
    net = NeuralNetwork(Standardize(), 32, 10, output="softmax", loss="cross_entropy", seed=0)
    found = find_learning_rate(net, x, y)
    net.learning_rate = found.suggestion
    net.fit(x[300:], y[300:], epochs=3)
    assert net.evaluate(x[:300], y[:300], metrics=["accuracy"])["accuracy"] > 0.9


@pytest.mark.parametrize("seed", range(3))
def test_what_scatters_is_no_fall(digits, seed):
    net = NeuralNetwork(Standardize(), 8, 10, output="softmax", loss="cross_entropy", seed=seed)
    with pytest.raises(ArgumentError, match="falls nowhere from 1e-09 to 1e-06 by more than it scatters"):
        _ = find_learning_rate(net, *digits, low=1e-9, high=1e-6).suggestion


def test_what_teaches_no_rate_is_refused():
    net = NeuralNetwork(5, 2, seed=0, optimizer="sgd")
    with pytest.raises(ArgumentError, match="low, high: the loss falls nowhere from 100 to"):
        _ = find_learning_rate(net, X, Y, low=100.0, high=1e4, steps=10).suggestion
    for options, message in (
        ({"low": 0.0}, "low: expected a number above 0; got 0.0"),
        ({"low": 2.0, "high": 1.0}, r"high: expected a number in \[2.0, inf\); got 1.0"),
        ({"steps": 3}, "steps: expected an int of at least 10; got 3"),
    ):
        with pytest.raises(ArgumentError, match=message):
            find_learning_rate(net, X, Y, **options)
    with pytest.raises(DataError, match="NaN"):
        find_learning_rate(net, np.where(X > 2, np.nan, X), Y)
    with pytest.raises(DivergenceError):
        find_learning_rate(net, 1e30 * X, Y)


def test_output_units_are_looked_at_too():
    """An output activation that the loss does not contain may be dead, or saturated, as a layer's is."""
    net = NeuralNetwork(3, 4, 3, output="relu", loss="mse", seed=0)
    net.set_parameters({"W2": np.zeros((4, 3)), "b2": [-1.0, 1.0, -2.0]})
    x = np.random.default_rng(0).random((20, 3))
    found = diagnose(net, x, np.ones((20, 3)))
    assert found.layers[-1].dead == (0, 2)
    assert "4 relu: 2 of 3 units dead: no row's gradient comes through: 0, 2" in found.findings
    net = NeuralNetwork(3, 4, 2, output="sigmoid", loss="sse", seed=0)
    net.set_parameters({"W2": np.zeros((4, 2)), "b2": [30.0, 0.0]})
    assert diagnose(net, x, np.ones((20, 2))).layers[-1].saturated == (0,)
    fused = NeuralNetwork(3, 4, 2, output="softmax", loss="cross_entropy", seed=0)
    assert len(diagnose(fused, x, np.zeros(20, int)).layers) == 3


def test_what_is_not_looked_at_is_said():
    net = NeuralNetwork(3, 4, Residual((Dense(4), "relu")), 2, loss="mse", seed=0)
    x = np.random.default_rng(0).random((20, 3))
    found = diagnose(net, x, np.ones((20, 2)))
    (place,) = [i for i, layer in enumerate(net.architecture.layers, 1) if isinstance(layer, Residual)]
    assert str(found).splitlines()[-1] == f"not looked at: the layers within {place} Residual"
    assert "not looked at" not in str(diagnose(NeuralNetwork(3, 4, 2, loss="mse", seed=0), x, np.ones((20, 2))))
