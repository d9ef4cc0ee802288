"""What a diagnosis names."""

import numpy as np
import pytest

from portnn import (
    Dense,
    Dropout,
    Embedding,
    Flatten,
    NeuralNetwork,
    Residual,
    Standardize,
    Unstandardize,
    diagnose,
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
    assert str(found).splitlines()[-1] == f"not examined: the layers within {place} Residual"
    assert "not examined" not in str(diagnose(NeuralNetwork(3, 4, 2, loss="mse", seed=0), x, np.ones((20, 2))))
