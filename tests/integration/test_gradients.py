"""Gradients of every layer, activation and loss against central differences and against PyTorch."""

import numpy as np
import pytest
import registered

from portnn import Dense, NeuralNetwork, Standardize, Unstandardize
from portnn.backend import host_array
from portnn.nn.losses import LOSSES

RNG = np.random.default_rng(5)
X = RNG.standard_normal((6, 4))
ONE_HOT = np.eye(3)[RNG.integers(0, 3, 6)]


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


@pytest.mark.parametrize("activation", ["identity", "sigmoid", "tanh", "relu", "softmax"])
@pytest.mark.parametrize("loss", LOSSES)
def test_against_torch(loss, activation):
    torch = pytest.importorskip("torch")
    net = NeuralNetwork(4, 7, 3, activation=activation, output=output_for(loss), loss=loss, seed=4, dtype="float64")
    value, gradients = net.gradients(X, ONE_HOT)
    p = {k: torch.tensor(np.array(v), requires_grad=True) for k, v in net.parameters.items()}
    z = registered.ACTIVATIONS[activation](torch, torch.tensor(X) @ p["W1"] + p["b1"]) @ p["W2"] + p["b2"]
    expected = registered.LOSSES[loss](torch.nn.functional, z, torch.tensor(ONE_HOT))
    expected.backward()
    assert float(value) == pytest.approx(expected.item(), rel=1e-13)
    for name, gradient in gradients.items():
        # Sums of at most 7 + 6 terms of order ten at eps = 2.2e-16.
        np.testing.assert_allclose(gradient, p[name].grad.numpy(), rtol=1e-12, atol=1e-13)
