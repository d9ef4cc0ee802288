"""The core uses nothing but the rules allow: it runs on an array that has nothing else."""

import numpy as np
import pytest
import registered
from austere import Austere, AustereNamespace

from portnn import NeuralNetwork
from portnn.backend import host_array
from portnn.nn import initializers
from portnn.numerics.bounds import BoundingNamespace
from portnn.reproducible.arithmetic import ARITHMETICS, Arithmetic

XP = AustereNamespace()
RNG = np.random.default_rng(0)
X = RNG.standard_normal((6, 4)).astype(np.float32)
LABELS = RNG.integers(0, 3, 6).astype(np.int32)


def test_the_austere_array_refuses():
    a = Austere(X)
    for bad in (lambda: a @ a, lambda: a**2, lambda: a / a[:1, :], lambda: float(a), lambda: a.T, lambda: 2.0 / a):
        with pytest.raises((TypeError, AttributeError)):
            bad()
    with pytest.raises(TypeError, match="promoted"):
        a * Austere(np.float64(2))
    with pytest.raises(AttributeError, match=r"xp\.where .*portnn/ops\.py"):
        _ = XP.where
    with pytest.raises(AttributeError, match=r"xp\.where has no bound yet: .*docs/guides/test-equivalence\.md"):
        _ = BoundingNamespace().where


@pytest.mark.parametrize("name", initializers.INITIALIZERS)
def test_initializers(name):
    """Moments of 12,000 draws within five standard errors, from the definitions."""
    shape, size = (200, 60), 12_000
    values = initializers.INITIALIZERS[name]()(np.random.default_rng(0), shape, *shape)
    mean, variance = registered.INITIALIZERS[name]
    assert values.shape == shape
    assert abs(values.mean() - mean) <= 5 * np.sqrt(variance / size)
    # A variance of n draws has a standard error of at most sqrt(2 / n) of itself.
    assert abs(values.var() - variance) <= 5 * np.sqrt(2 / size) * variance
    if name == "uniform":
        assert 0 <= values.min() < values.max() < 1
        np.testing.assert_array_equal(values.astype(np.float32), values)
    if name == "glorot":
        assert np.abs(values).max() <= np.sqrt(6 / 260)
    if name == "orthogonal":
        wide = initializers.Orthogonal()(np.random.default_rng(0), (5, 3, 4), 5, 12).reshape(5, 12)
        np.testing.assert_allclose(values.T @ values, np.eye(60), atol=1e-14)
        np.testing.assert_allclose(wide @ wide.T, np.eye(5), atol=1e-14)


class Counting:
    """A namespace that counts what is asked of it."""

    def __init__(self, xp):
        self.xp, self.asked = xp, {}

    def __getattr__(self, name):
        self.asked[name] = self.asked.get(name, 0) + 1
        return getattr(self.xp, name)


class CountingArithmetic(Arithmetic):
    """Hands out one namespace that counts."""

    def __init__(self, backend):
        super().__init__(backend)
        self._counting = Counting(backend.xp)

    xp = property(lambda self: self._counting)


def test_another_arithmetic_computes_without_touching_a_layer(backend, monkeypatch):
    """A runtime is handed its namespace: products, roots, sums of a step, a prediction and an evaluation go there."""
    monkeypatch.setitem(ARITHMETICS, "counting", CountingArithmetic)
    kinds = "fast", "counting"
    nets = [NeuralNetwork(4, 8, 3, seed=0, backend=backend, dtype="float64", arithmetic=kind) for kind in kinds]
    y = np.eye(3)[LABELS]
    for net in nets:
        net.fit(X, y, epochs=2)
    if backend.startswith("cupy"):  # a compiled step adds in another order
        for name, value in nets[0].parameters.items():
            np.testing.assert_allclose(*map(host_array, (nets[1].parameters[name], value)), rtol=0, atol=1e-12)
    else:
        assert nets[0].fingerprint() == nets[1].fingerprint()
    assert isinstance(nets[1].to()._runtime.xp, Counting)
    asked = nets[1]._runtime.xp.asked
    assert all(asked.get(name, 0) >= least for name, least in {"matmul": 5, "sqrt": 1, "sum": 3}.items())
    before = asked["matmul"]
    nets[1].predict(X)
    assert asked["matmul"] == before + 2


def test_auto_follows_the_activation():
    relu = NeuralNetwork(500, 300, 10, seed=0).parameters["W1"]
    tanh = NeuralNetwork(500, 300, 10, activation="tanh", seed=0).parameters["W1"]
    assert np.std(relu) == pytest.approx(np.sqrt(2 / 500), rel=0.02)
    assert np.abs(tanh).max() <= np.sqrt(6 / 800)
