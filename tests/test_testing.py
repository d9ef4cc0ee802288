"""What portnn.testing and the pytest plugin give to other people's suites."""

import math
import re
import subprocess
import sys

import numpy as np
import pytest

from portnn import (
    ArgumentError,
    BackendUnavailableError,
    BatchNorm,
    Dense,
    Dropout,
    Layer,
    LayerNorm,
    NeuralNetwork,
    available_backends,
)
from portnn.nn.activations import ACTIVATIONS
from portnn.nn.layer import Shapes
from portnn.testing import assert_backends_agree, check_gradients
from portnn.types import ForwardContext

RNG = np.random.default_rng(0)
X, Y = RNG.standard_normal((2, 16, 5))


class Scale(Layer):
    """A user's layer, y = s x, whose derivative may be given a fault."""

    def __init__(self, fault=1.0):
        self.fault = fault

    def shapes(self, features):
        return Shapes(features, {"s": (features, "normal")})

    def forward(self, xp, weights, x, mode):
        s = weights["s"]
        return x * s, lambda dy: (dy * s * self.fault, {"s": xp.sum(dy * x, axis=0) * self.fault})


def test_backends_agree(other):
    report = assert_backends_agree(NeuralNetwork(5, 8, 5, seed=0), X, Y, backends=[other], steps=2)
    assert report.holds


def test_a_missing_backend_is_an_error():
    if next(info for info in available_backends() if info.name == "cupy").available:
        pytest.skip("cupy: available here")
    with pytest.raises(BackendUnavailableError):
        assert_backends_agree(NeuralNetwork(5, 5, seed=0), X, Y, backends=["cupy"])


@pytest.mark.exhaustive
@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_gradients(activation):
    net = NeuralNetwork(5, 20, Dropout(0.3), 8, 5, activation=activation, seed=0)
    before = net.fingerprint()
    check_gradients(net, X, Y)
    assert net.fingerprint() == before


def test_gradients_at_a_kink(monkeypatch):
    """A unit whose input is nearly zero: the wide difference straddles the kink, the narrow ones do not."""
    net = NeuralNetwork(1, 1, 1, seed=0)
    net.set_parameters({"W1": [[1.0]], "b1": [-1.0 + 3e-5], "W2": [[1.0]], "b2": [0.0]})
    check_gradients(net, [[1.0]], [[5.0]])
    # What is between the wide one and the next, a third of the slope, excuses nothing.
    wrong = lambda xp, z: (xp.maximum(z, 0.0), lambda da: da * xp.astype(z > 0, z.dtype) * 0.95)  # noqa: E731
    monkeypatch.setitem(ACTIVATIONS, "relu", wrong)
    with pytest.raises(AssertionError, match=r"gradient of [Wb]1"):
        check_gradients(net, [[1.0]], [[5.0]])


def at_the_kink():
    """A unit whose input is exactly 0: to one side the loss does not change, to the other it does."""
    net = NeuralNetwork(1, Dense(1), "relu", Dense(1), seed=0)
    net.set_parameters({"W1": [[1.0]], "b1": [-1.0], "W2": [[1.0]], "b2": [0.0]})
    return net, [[1.0]], [[5.0]]


@pytest.mark.parametrize(("slope", "right"), [(0.0, True), (0.5, True), (1.0, True), (1.001, False), (-0.001, False)])
def test_gradients_at_the_kink_itself(monkeypatch, slope, right):
    """What lies between the slopes of its two sides is right, what lies beyond is not."""

    def relu(xp, z):
        factor = xp.astype(z > 0, z.dtype) + slope * xp.astype(z == 0, z.dtype)
        return xp.maximum(z, 0.0), lambda da: da * factor

    monkeypatch.setitem(ACTIVATIONS, "relu", relu)
    if right:
        check_gradients(*at_the_kink())
        return
    with pytest.raises(AssertionError, match=r"gradient of [Wb]1"):
        check_gradients(*at_the_kink())


def test_a_loss_that_jumps_has_no_gradient(monkeypatch):
    monkeypatch.setitem(ACTIVATIONS, "relu", lambda xp, z: (xp.astype(z > 0, z.dtype), lambda da: da * 0.0))
    with pytest.raises(AssertionError, match=r"gradient of [Wb]1"):
        check_gradients(*at_the_kink())


def test_gradients_where_the_loss_is_sharply_curved():
    """Rows that hardly vary, before a norm: differences are off by their truncation, the gradient is not."""
    for scale, right in ((1.0, True), (1.001, False)):
        net = NeuralNetwork(5, Dense(4), Scale(scale), LayerNorm(), Dense(5), seed=0)
        net.set_parameters({"W1": 0.003 * np.asarray(net.parameters["W1"])})
        if right:
            check_gradients(net, X, Y)
            continue
        with pytest.raises(AssertionError, match="gradient of"):
            check_gradients(net, X, Y)


def test_a_wrong_gradient_is_named():
    check_gradients(NeuralNetwork(5, Dense(4), Scale(), Dense(5), seed=0), X, Y)
    with pytest.raises(AssertionError, match=r"gradient of (W1|b1|s1)\[\d(, \d)?\]: expected .* got"):
        check_gradients(NeuralNetwork(5, Dense(4), Scale(1.001), Dense(5), seed=0), X, Y)


SCALES = [
    (1e-9, 1e-9, 1.0),
    (1e-5, 1e-5, 1.0),
    (1e-5, 1e5, 1e3),
    (1.0, 1.0, 1e-4),
    (1.0, 1e5, 1.0),
    (1e5, 1e-5, 1.0),
    (1e5, 1e5, 1e3),
]


@pytest.mark.parametrize(("data", "targets", "weights"), SCALES)
@pytest.mark.parametrize("activation", ["identity", "relu"])
@pytest.mark.parametrize("loss", ["mse", "mae"])
def test_a_wrong_gradient_is_seen_at_any_scale(loss, activation, data, targets, weights):
    """Of data, targets and weights: no size is taken for 1."""
    for fault, right in ((1.0, True), (1.01, False), (2.0, False)):
        net = NeuralNetwork(5, Dense(4, bias=False), activation, Scale(fault), Dense(5, bias=False), loss=loss, seed=1)
        net.set_parameters({k: weights * np.asarray(v) for k, v in net.parameters.items() if k.startswith("W")})
        if right:
            check_gradients(net, data * X, targets * Y, elements=6)
            continue
        with pytest.raises(AssertionError, match=r"gradient of (W1|s3)"):
            check_gradients(net, data * X, targets * Y, elements=6)


@pytest.mark.parametrize("norm", [(), (BatchNorm(),)])
def test_gradients_of_a_loss_of_nearly_nothing(norm):
    """Targets 1e-9 from the outputs: the loss is 1e-18, and its rounding more than its last place.

    Biases before a norm have a gradient of 0: what is computed of it is rounding alone.
    """
    for fault, right in ((1.0, True), (1.01, False)):
        net = NeuralNetwork(5, Dense(4), *norm, Scale(fault), Dense(5), seed=1)
        runtime, dataset = net.to("numpy", dtype="float64").prepare(X, Y)
        outputs, *_ = runtime.model._run(
            runtime.xp, runtime.state, dataset.x, ForwardContext(training=True, key=runtime.key)
        )
        y = outputs * (1 + 1e-9 * Y)
        if right:
            check_gradients(net, X, y)
            continue
        with pytest.raises(AssertionError, match=r"gradient of (W1|s\d)"):
            check_gradients(net, X, y)


def test_a_loss_of_probabilities_is_rounded_as_one_is():
    """Of a network that is sure of its classes: a loss of 1e-12, the logarithm of 1 + 1e-12, has few right digits."""
    net = NeuralNetwork(5, Dense(4), Dense(3), output="softmax", loss="cross_entropy", seed=1)
    net.set_parameters({"b2": [28.0, 0.0, 0.0], "W2": np.asarray(net.parameters["W2"]) * 1e-3})
    with pytest.raises(ArgumentError, match=r"y: expected targets whose loss shows .* its rounding hides W1"):
        check_gradients(net, X, np.zeros(16, np.int64))
    net.set_parameters({"b2": [9.0, 0.0, 0.0]})
    check_gradients(net, X, np.zeros(16, np.int64))


def test_a_gradient_that_is_no_number_is_named_drawn_or_not():
    class Holed(Scale):
        def forward(self, xp, weights, x, mode):
            y, backward = super().forward(xp, weights, x, mode)

            def holed(dy):
                dx, gradients = backward(dy)
                return dx, {"s": xp.concat([gradients["s"][:6], gradients["s"][6:] * math.nan])}

            return y, holed

    net = NeuralNetwork(5, Dense(8), Holed(), Dense(5), seed=0)
    with pytest.raises(AssertionError, match=r"gradient of s1\[6\]: expected a finite number; got nan"):
        check_gradients(net, X, Y, elements=1)


@pytest.mark.parametrize(("activation", "data"), [("identity", 1e-5), ("tanh", 1e5)])
def test_a_loss_that_hides_the_outputs_is_refused(activation, data):
    """Of a loss of 1e10 no digit is left for outputs of 1e-13; widths that show in it saturate tanh."""
    for fault in (1.0, 2.0):
        net = NeuralNetwork(5, Dense(4, bias=False), activation, Scale(fault), Dense(5, bias=False), seed=1)
        net.set_parameters({k: 1e-4 * np.asarray(v) for k, v in net.parameters.items() if k.startswith("W")})
        with pytest.raises(ArgumentError, match=r"y: expected targets whose loss shows .* hides W1"):
            check_gradients(net, data * X, 1e5 * Y)


def test_nothing_is_compared_with_nothing():
    with pytest.raises(ArgumentError, match="backends: expected another beside numpy"):
        assert_backends_agree(NeuralNetwork(5, 5, seed=0), X, Y, backends=["numpy"])
    with pytest.raises(ArgumentError, match="elements: expected a positive int"):
        check_gradients(NeuralNetwork(5, 5, seed=0), X, Y, elements=0)


def test_a_failure_shows_the_users_line(tmp_path):
    """Not the frames of portnn.testing below it."""
    (tmp_path / "test_mine.py").write_text(
        "import numpy as np, portnn.testing as t\n"
        "from portnn import Dense, NeuralNetwork, Report\n"
        "from portnn.testing import *\n"
        "x = np.ones((4, 2))\n"
        "class Wrong(Dense):\n"
        "    def forward(self, xp, w, x, mode):\n"
        "        y, backward = super().forward(xp, w, x, mode)\n"
        "        return y, lambda dy: backward(dy * 1.5)\n"
        "net = NeuralNetwork(2, Wrong(2), seed=0)\n"
        "t.compare = lambda *a, **o: Report('float32', {}, [])\n"
        "def test_gradients():\n    check_gradients(net, x, x)\n"
        "def test_backends():\n    assert_backends_agree(net, x, x, backends=['torch'])\n"
    )
    result = pytest_in(tmp_path)
    assert result.returncode == 1
    assert "test_mine.py:12: AssertionError" in result.stdout
    assert "test_mine.py:14: AssertionError" in result.stdout
    assert "testing.py:" not in result.stdout


def pytest_in(folder, *options):
    """Run pytest in a process of its own, where importing PyTorch or JAX fails: they take seconds."""
    for name in ("torch", "jax"):
        (folder / name).mkdir(exist_ok=True)
        (folder / name / "__init__.py").write_text("raise ImportError('left out')")
    command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "-rs", *options]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)


def test_the_plugin(tmp_path):
    (tmp_path / "test_mine.py").write_text(
        "def test_mine(portnn_backend):\n"
        "    import portnn\n"
        "    assert portnn.NeuralNetwork(2, 1, backend=portnn_backend).backend.startswith(portnn_backend)\n"
    )
    result = pytest_in(tmp_path, "--portnn-require", "numpy")
    assert result.returncode == 0, result.stdout + result.stderr
    assert "2 passed" in result.stdout  # NumPy, array-api-strict
    for name, why in (("torch", "PyTorch cannot be imported (left out)"), ("jax", "JAX cannot run (left out)")):
        assert f"{name}: NOT RUN, {why}" in result.stdout  # in the header
        assert re.search(rf"SKIPPED.*{name}: {re.escape(why)}", result.stdout)
    assert "numpy: " in result.stdout
    missing = pytest_in(tmp_path, "--portnn-require", "numpy,nmpy")
    assert missing.returncode == 4
    assert "--portnn-require nmpy: no such backend" in missing.stderr
