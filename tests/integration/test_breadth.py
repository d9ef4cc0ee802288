"""Data and networks as people have them, on every backend: layouts, sizes, magnitudes, architectures by chance."""

from dataclasses import dataclass
from itertools import islice
from typing import Any

import numpy as np
import pytest
import registered
from conftest import spare
from hypothesis import given
from hypothesis import strategies as st

from portnn import (
    BatchNorm,
    Dense,
    Dropout,
    DTypeError,
    GaussianNoise,
    LayerNorm,
    NeuralNetwork,
    Residual,
    Shapes,
    Standardize,
    compare,
    get_backend,
)
from portnn.nn.layer import Layer
from portnn.nn.losses import LOSSES
from portnn.pytest_plugin import reason
from portnn.testing import check_backend, check_gradients

RNG = np.random.default_rng(0)
X, Y = RNG.standard_normal((24, 6)), RNG.standard_normal((24, 2))
OTHER = "array_api_strict"

# ---- how the data lie

LAYOUTS = {
    "Fortran": np.asfortranarray,
    "every other row": lambda a: np.repeat(a, 2, axis=0)[::2],
    "every other column": lambda a: np.repeat(a, 2, axis=1)[:, ::2],
    "reversed": lambda a: a[::-1].copy()[::-1],
    "another byte order": lambda a: a.astype(a.dtype.newbyteorder()),
    "read-only": lambda a: _frozen(a.copy()),
    "a list": lambda a: a.tolist(),
}


def _frozen(array):
    array.flags.writeable = False
    return array


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_how_the_data_lie_changes_no_bit(backend, dtype):
    """Within one library: the same training, prediction and score, whatever lies where in memory."""
    if dtype == "float64":
        spare(backend, "one dtype is enough")

    def seen(x, y):
        net = NeuralNetwork(6, Standardize(), 8, "tanh", 2, seed=0, dtype=dtype, backend=backend)
        net.fit(x, y, epochs=2, batch_size=7)
        outputs = np.asarray(net.to("numpy").predict(x), np.float64)
        return net.fingerprint(), net.evaluate(x, y), outputs.tobytes()

    x, y = X.astype(dtype), Y.astype(dtype)
    expected = seen(x, y)
    for name, laid in LAYOUTS.items():
        assert seen(laid(x), laid(y)) == expected, name


COVERING = [name for name, *_ in registered.covering()]


def test_the_covering_networks_have_everything():
    parts = {part for name in COVERING for part in name.split(", ")}
    for table in ("LAYERS", "ACTIVATIONS", "LOSSES"):
        assert parts >= set(registered.TABLES[table][0]), table
    assert parts >= {
        *registered.OPTIMIZERS,
        *registered.CHAINS,
        *registered.SCHEDULES,
        *map(" ".join, registered.OPTIONS),
    }


@pytest.mark.exhaustive
@pytest.mark.parametrize("number", range(len(COVERING)), ids=COVERING)
def test_everything_registered_is_within_its_bounds(other, number):
    """Each layer, activation, loss, optimizer and schedule, from one layout or another, in one dtype or both."""
    both = [("float32", "float64")[number % 2]] if other.startswith("jax") else ["float32", "float64"]
    for dtype in both:  # JAX compiles a network for a second
        laid = list(LAYOUTS.values())[(number + (dtype == "float64")) % len(LAYOUTS)]
        _, net, x, y = next(islice(registered.covering(dtype=dtype, backend="numpy"), number, None))
        x, y = (a.astype(dtype) if a.dtype.kind == "f" else a for a in (x, y))
        report = compare(net, laid(x), laid(y), backends=[other], steps=1)
        assert report.holds, str(report)
        assert {piece.place for piece in report.pieces} > {"loss", "update", "whole step"}


# ---- sizes and magnitudes


def network(*layers, **options):
    return NeuralNetwork(*layers, **{"seed": 0, "dtype": "float32", "backend": "numpy", **options})


SIZES = {
    "a batch of one": (lambda: network(6, 8, "tanh", 2), X[:1], Y[:1]),
    "very wide": (lambda: network(3000, 4, "relu", 2), RNG.standard_normal((4, 3000)), Y[:4]),
    "very deep": (lambda: network(6, *[Residual((6, "tanh"))] * 12, 2), X[:8], Y[:8]),
    "large numbers": (lambda: network(6, LayerNorm(), 8, "relu", 2), 1e18 * X, Y),
    "small numbers": (lambda: network(6, 8, "tanh", 2), 1e-25 * X, Y),
    "denormal numbers": (lambda: network(6, 8, "relu", 2), 1e-40 * X, Y),
    "numbers of all sizes": (lambda: network(6, Standardize(), 8, 2), X * 10.0 ** np.arange(-15, 15, 5), Y),
    "columns that never vary": (lambda: network(6, Standardize(), 8, "tanh", 2), X * [1, 0, 1, 0, 1, 1] + 7, Y),
}


@pytest.mark.parametrize("name", SIZES)
def test_sizes_and_magnitudes_are_within_their_bounds(other, name):
    if name != "denormal numbers":
        spare(other, "what is within its bounds elsewhere")
    make, x, y = SIZES[name]
    report = compare(make(), x, y, backends=[other], steps=1, batch_size=len(x))
    assert report.holds, str(report)


# ---- the standard's own narrow paths


@pytest.mark.parametrize("version", ["2024.12", "2025.12"])
def test_the_standard_and_nothing_else(version):
    """No boolean indexing, no shapes that depend on values, no extensions: training, scores, reports."""
    strict = pytest.importorskip("array_api_strict")
    flags = strict.ArrayAPIStrictFlags(
        api_version=version, boolean_indexing=False, data_dependent_shapes=False, enabled_extensions=()
    )
    with flags:
        layers = (
            6,
            Standardize(),
            Dropout(0.2),
            GaussianNoise(0.1),
            8,
            BatchNorm(),
            "relu",
            Residual((LayerNorm(), 8)),
            3,
        )
        net = NeuralNetwork(*layers, output="softmax", loss="cross_entropy", seed=0, backend=OTHER)
        labels = np.arange(24) % 3
        net.fit(X, labels, epochs=2, batch_size=8, validation=0.25, metrics=["accuracy"])
        assert net.predict_classes(X).shape == (24,)
        assert compare(net, X, labels, backends=[OTHER], steps=1).holds


def test_a_device_without_float64():
    pytest.importorskip("array_api_strict")
    check_backend("array_api_strict:no_float64")
    with pytest.raises(DTypeError, match="has no float64"):
        NeuralNetwork(2, 1, backend="array_api_strict:no_float64", dtype="float64")


@dataclass(frozen=True)
class ScaledBy(Layer):
    """A part that kept an array of a device."""

    by: Any

    def shapes(self, features):
        return Shapes(features)

    def forward(self, xp, weights, x, mode):
        return x * self.by, lambda dy: (dy * self.by, {})


@pytest.mark.parametrize(("home", "elsewhere"), [("array_api_strict:device1", OTHER), ("torch:cuda:0", "torch")])
def test_data_go_to_the_network_and_parts_do_not_mix_devices(home, elsewhere):
    """Nothing is moved behind the back of a computation; a step that is refused changes nothing."""
    if why := reason(home):
        pytest.skip(f"{home}: {why}")
    abroad = get_backend(elsewhere)
    net = network(6, 8, "tanh", 2, backend=home)
    history = net.fit(abroad.asarray(X), Y, epochs=1)
    assert history.loss == network(6, 8, "tanh", 2, backend=home).fit(X, Y, epochs=1).loss
    assert abroad.device_of(net.predict(abroad.asarray(X))) == abroad.device
    mixed = network(6, ScaledBy(abroad.asarray(np.ones(6, np.float32))), 2, backend=home)
    before = mixed.fingerprint()
    with pytest.raises((ValueError, RuntimeError), match="device"):
        mixed.fit(X, Y, epochs=1)
    assert mixed.fingerprint() == before


# ---- architectures drawn at random

ACTIVATIONS = ("sigmoid", "tanh", "relu", "elu", "silu", "gelu", "softplus")


@st.composite
def architectures(draw):
    """A chain of up to five layers, a loss that suits, and its data."""
    middle = st.one_of(
        st.integers(1, 9),
        st.sampled_from(ACTIVATIONS),
        st.builds(Dropout, st.sampled_from((0.1, 0.5))),
        st.just(LayerNorm()),
        st.just(BatchNorm()),
        st.builds(lambda name: Residual((LayerNorm(), name)), st.sampled_from(ACTIVATIONS)),
    )
    layers = draw(st.lists(middle, max_size=5))
    loss = draw(st.sampled_from(("mse", "huber", "binary_cross_entropy", "cross_entropy")))
    inputs, outputs, rows = draw(st.integers(1, 6)), draw(st.integers(2, 4)), draw(st.integers(2, 9))
    rng = np.random.default_rng(draw(st.integers(0, 99)))
    y = rng.integers(0, outputs, rows) if loss == "cross_entropy" else rng.random((rows, outputs))
    made = {"loss": loss, "output": LOSSES[loss].pair or "identity", "seed": draw(st.integers(0, 99))}
    return [inputs, Dense(4), *layers, Dense(outputs)], made, rng.standard_normal((rows, inputs)), y


@pytest.mark.exhaustive
@pytest.mark.timeout(600)
@given(architectures())
def test_architectures_drawn_at_random(drawn):
    """Every piece within its bound, gradients those of the loss. HYPOTHESIS_PROFILE=nightly draws two thousand."""
    pytest.importorskip("array_api_strict")
    layers, options, x, y = drawn
    net = NeuralNetwork(*layers, **options, activation="tanh", dtype="float64")
    report = compare(net, x, y, backends=[OTHER], steps=1, batch_size=len(x))
    assert report.holds, str(report)
    if repr(layers).count("Norm") < 2:  # a norm of a norm makes of little differences slopes of thousands
        check_gradients(net, x, y, elements=2)
