"""Gradients of every layer, activation and loss against central differences and against PyTorch."""

import numpy as np
import pytest

from portnn import Activation, Dense, Dropout, NeuralNetwork, Standardize, Unstandardize, get_backend
from portnn.backend import host_array
from portnn.nn.activations import ACTIVATIONS
from portnn.nn.layers import LAYERS
from portnn.nn.losses import LOSSES
from portnn.types import Mode

RNG = np.random.default_rng(5)
X = RNG.standard_normal((6, 4))
ONE_HOT = np.eye(3)[RNG.integers(0, 3, 6)]
REGISTERED = {
    "Dense": Dense(5),
    "Activation": Activation("tanh"),
    "Dropout": Dropout(0.3),
    "Standardize": Standardize(),
    "Unstandardize": Unstandardize(),
}


def loss_at(net, name, value, y):
    net.set_parameters({name: value})
    return net.evaluate(X, y)["loss"]


def check(net, y):
    """Each gradient against (f(p + h) - f(p - h)) / 2h in float64.

    With h = 1e-5 the truncation error is about h² f''' / 6, 1e-11 f''', and the rounding error eps f / h, 2e-11 f;
    losses and their derivatives here are of order one to ten, so 1e-8 leaves two decimal orders.
    """
    _, gradients = net.gradients(X, y)
    for name, value in net.parameters.items():
        for index in np.ndindex(value.shape):
            sides = []
            for h in (1e-5, -1e-5):
                moved = np.array(value)
                moved[index] += h
                sides.append(loss_at(net, name, moved, y))
            net.set_parameters({name: value})
            assert abs((sides[0] - sides[1]) / 2e-5 - gradients[name][index]) < 1e-8, (name, index)
    assert any(np.abs(g).max() > 1e-3 for g in gradients.values())


def output_for(loss):
    return LOSSES[loss].pair or "identity"


@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_activations(activation):
    net = NeuralNetwork(4, 5, 3, activation=activation, loss="sse", seed=1, dtype="float64", initializer="normal")
    check(net, ONE_HOT)


@pytest.mark.parametrize(
    ("loss", "output"), [(n, o) for n, loss in LOSSES.items() for o in ACTIVATIONS if loss.pair in (None, o)]
)
def test_losses(loss, output):
    net = NeuralNetwork(4, 5, 3, activation="tanh", output=output, loss=loss, seed=2, dtype="float64")
    check(net, ONE_HOT)


@pytest.mark.parametrize("layer", LAYERS)
def test_layers(layer):
    """A layer's own closure, dx included: each partial derivative of sum(c y) against a central difference."""
    xp, mode, layer = get_backend("numpy").xp, Mode(training=True, input_gradient=True), REGISTERED[layer]
    shapes = layer.shapes((4,))
    rng = np.random.default_rng(3)
    weights = {key: rng.random(spec[0]) + 0.5 for key, spec in {**shapes.parameters, **shapes.buffers}.items()}
    y, backward = layer.forward(xp, weights, X, mode)
    c = rng.standard_normal(y.shape)
    dx, gradients = backward(c)
    assert set(gradients) == set(shapes.parameters)
    assert y.shape == (6, *shapes.output)
    inputs = {"x": X, **weights}
    for key, gradient in {"x": dx, **gradients}.items():
        assert gradient.shape == inputs[key].shape
        for index in np.ndindex(gradient.shape):
            sides = []
            for h in (1e-5, -1e-5):
                moved = {k: np.array(v) for k, v in inputs.items()}
                moved[key][index] += h
                x = moved.pop("x")
                sides.append(np.sum(c * layer.forward(xp, moved, x, mode)[0]))
            assert abs((sides[0] - sides[1]) / 2e-5 - gradient[index]) < 1e-8, (key, index)


def test_square_weights():
    """Where a weight and its transpose have one shape, only the numbers tell them apart."""
    check(NeuralNetwork(4, 4, 4, 3, activation="tanh", loss="sse", seed=3, dtype="float64"), ONE_HOT)


def test_layers_in_a_network():
    net = NeuralNetwork(
        4, Standardize(), Dense(5), "tanh", Dense(3), Unstandardize(), loss="sse", dtype="float64", seed=3
    )
    net.fit(X * 3 + 1, ONE_HOT * 5 - 2)
    check(net, ONE_HOT)


def test_labels_give_the_gradients_of_one_hot_rows(backend):
    net = NeuralNetwork(4, 5, 3, output="softmax", loss="cross_entropy", seed=1, backend=backend)
    _, a = net.gradients(X, ONE_HOT.argmax(axis=1))
    _, b = net.gradients(X, ONE_HOT)
    for name in a:
        np.testing.assert_array_equal(host_array(a[name]), host_array(b[name]))


@pytest.mark.parametrize("size", [1e-30, 1.0, 1e4, 3e37, 3e38])
@pytest.mark.parametrize("loss", ["cross_entropy", "binary_cross_entropy"])
def test_pairs_are_finite_for_any_finite_logit(backend, loss, size):
    net = NeuralNetwork(4, 3, output=output_for(loss), loss=loss, seed=1, backend=backend)
    net.set_parameters({"W1": np.full((4, 3), size) * np.array([1, -1, 0.5])})
    x = np.array([[1.0, 0, 0, 0], [-1.0, 0, 0, 0]])
    right, wrong = (net.gradients(x, y) for y in (np.eye(3)[[0, 1]], np.eye(3)[[1, 0]]))
    for value, gradients in (right, wrong):
        assert np.isfinite(host_array(value))
        assert all(np.all(np.isfinite(host_array(g))) for g in gradients.values())
    if size > 1:  # sure of it, rightly or wrongly
        assert host_array(right[0]) == pytest.approx(0 if loss == "cross_entropy" else 0.5 * size / 6, rel=1e-5)
        assert host_array(wrong[0]) > size * 0.25
    if size == 1e4:
        assert host_array(wrong[0]) == pytest.approx(2 * size if loss == "cross_entropy" else 4.5 * size / 6, rel=1e-5)


ORACLES = {
    "sse": lambda F, z, y: ((z - y) ** 2).sum(),
    "half_sse": lambda F, z, y: 0.5 * ((z - y) ** 2).sum(),
    "mse": lambda F, z, y: F.mse_loss(z, y),
    "binary_cross_entropy": lambda F, z, y: F.binary_cross_entropy_with_logits(z, y),
    "cross_entropy": lambda F, z, y: F.cross_entropy(z, y),
}


@pytest.mark.parametrize("activation", ["identity", "sigmoid", "tanh", "relu", "softmax"])
@pytest.mark.parametrize("loss", LOSSES)
def test_against_torch(loss, activation):
    torch = pytest.importorskip("torch")
    net = NeuralNetwork(4, 7, 3, activation=activation, output=output_for(loss), loss=loss, seed=4, dtype="float64")
    value, gradients = net.gradients(X, ONE_HOT)
    p = {k: torch.tensor(np.array(v), requires_grad=True) for k, v in net.parameters.items()}
    functions = {
        "identity": lambda z: z,
        "sigmoid": torch.sigmoid,
        "tanh": torch.tanh,
        "relu": torch.relu,
        "softmax": lambda z: torch.softmax(z, dim=-1),
    }
    z = functions[activation](torch.tensor(X) @ p["W1"] + p["b1"]) @ p["W2"] + p["b2"]
    expected = ORACLES[loss](torch.nn.functional, z, torch.tensor(ONE_HOT))
    expected.backward()
    assert float(value) == pytest.approx(expected.item(), rel=1e-13)
    for name, gradient in gradients.items():
        # Sums of at most 7 + 6 terms of order ten at eps = 2.2e-16.
        np.testing.assert_allclose(gradient, p[name].grad.numpy(), rtol=1e-12, atol=1e-13)
