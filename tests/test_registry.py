"""Layers, optimizers and losses of one's own in files: found again, or refused before anything is written."""

import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pytest

import portnn
from portnn import (
    ArgumentError,
    Dense,
    Layer,
    Loss,
    NeuralNetwork,
    Residual,
    SerializationError,
    Shapes,
    initializers,
    metrics,
    registry,
)
from portnn.nn import losses
from portnn.nn.losses import LOSSES

EXAMPLES = Path(__file__).parents[1] / "examples"
X = np.random.default_rng(0).random((12, 3))


class Passing(Layer):
    def shapes(self, features):
        return Shapes(features)

    def forward(self, xp, weights, x, mode):
        return x * self.factor, lambda dy: (dy * self.factor, {})


@dataclass(frozen=True)
class Times(Passing):
    factor: float = 2.0


@portnn.register
@dataclass(frozen=True)
class Known(Passing):
    factor: float = 2.0
    names: tuple = ("a", ("b",))
    note: object = None


@dataclass(frozen=True)
class Hidden(Passing):
    """Its options do not make it again."""

    factor: float = 2.0
    seen: list = field(default_factory=list, compare=True)

    def __post_init__(self):
        object.__setattr__(self, "factor", self.factor + 1.0)


class Plain(Passing):
    factor = 2.0


def network(*hidden, **options):
    return NeuralNetwork(3, *hidden, 2, **{"seed": 0, **options})


@portnn.register
def squared(xp, z):
    return z * z, lambda da: da * (2.0 * z)


def unknown(xp, z):
    return z, lambda da: da


def test_an_activation_of_ones_own(tmp_path):
    """In the layers, in a block, as ``activation`` and ``output``; files name it; others are refused."""
    for net in (
        network(4, squared, Residual((Dense(4), squared))),
        network(4, 4, activation=squared),
        network(4, output=squared),
        NeuralNetwork(3, 4, "tanh", 2, "test_registry:squared", seed=0),
    ):
        net.fit(X, X[:, :2])
        net.save(tmp_path / "m")
        other = NeuralNetwork.load(tmp_path / "m")
        np.testing.assert_array_equal(other.predict(X), net.predict(X))
    hidden = np.tanh(X.astype("f") @ net.parameters["W1"] + net.parameters["b1"])
    np.testing.assert_allclose(net.predict(X), (hidden @ net.parameters["W2"] + net.parameters["b2"]) ** 2, rtol=1e-4)
    for make in (lambda: network(4, unknown), lambda: network(4, output=unknown), lambda: network(4, "nowhere:f")):
        with pytest.raises(SerializationError, match=r"register|nowhere"):
            make()


def test_in_another_process(tmp_path):
    """The example: a layer, an optimizer and a loss of a package, in under forty lines."""
    assert len((EXAMPLES / "own" / "parts.py").read_text().splitlines()) < 40
    run = [sys.executable, "-W", "error::RuntimeWarning", str(EXAMPLES / "own_parts.py")]
    trained, loaded = (
        subprocess.run([*run, *more], cwd=tmp_path, capture_output=True, text=True, check=False)
        for more in ((), ("own.safetensors",))
    )
    assert trained.returncode == loaded.returncode == 0, trained.stderr + loaded.stderr
    assert trained.stdout.splitlines()[-1] == loaded.stdout.splitlines()[-1]
    with pytest.raises(SerializationError, match=r"needs 'own.parts:Centre', .*: import own.parts, which registers it"):
        NeuralNetwork.load(tmp_path / "own.safetensors")


def test_a_registered_layer_comes_back(tmp_path):
    net = network(4, Known(0.5, names=("c", ("d", 1))))
    net.fit(X, X[:, :2])
    net.save(tmp_path / "m")
    other = NeuralNetwork.load(tmp_path / "m")
    assert other.architecture == net.architecture
    np.testing.assert_array_equal(other.predict(X), net.predict(X))


def test_a_layer_that_bears_a_name_of_ours_is_not_taken_for_it(tmp_path):
    """A subclass of Dense, called Dense, with other outputs."""

    @dataclass(frozen=True)
    class Dense(portnn.Dense):
        def forward(self, xp, weights, x, mode):
            return super().forward(xp, weights, x * 2.0, mode)

    net = NeuralNetwork(3, Dense(2), seed=0)
    with pytest.raises(SerializationError, match=r"layer: a file cannot name test_registry:\S*\.Dense yet"):
        net.save(tmp_path / "m")
    assert not (tmp_path / "m").exists()


@pytest.mark.parametrize(
    ("layer", "message"),
    [
        (Times(), "layer: a file cannot name .*Times yet: register it with portnn.register"),
        (Plain(), "layer: a file cannot name .*Plain yet"),
        (Known(note=object()), "Known: expected options that are plain JSON values"),
        (Known(note=float("nan")), "Known: expected options that are plain JSON values"),
        (Known(note=[1]), "Known: expected options that make an equal copy"),
        (Hidden(), "Hidden: expected options that make an equal copy"),
    ],
)
def test_what_could_not_be_loaded_is_not_saved(tmp_path, layer, message, monkeypatch):
    monkeypatch.setattr(registry, "_REGISTERED", dict(registry._REGISTERED))
    if isinstance(layer, Hidden):
        portnn.register(Hidden)
    (tmp_path / "m").write_bytes(b"older")
    with pytest.raises(SerializationError, match=message):
        network(layer).save(tmp_path / "m")
    assert (tmp_path / "m").read_bytes() == b"older"


def test_optimizers_and_losses(tmp_path):
    @dataclass(frozen=True)
    class Mine(portnn.SGD):
        pass

    for options in ({"optimizer": Mine(0.1)}, {"loss": Loss(lambda *arguments: LOSSES["sse"]()(*arguments))}):
        net = network(4, **options)
        net.fit(X, X[:, :2])
        with pytest.raises(SerializationError, match="a file cannot name"):
            net.save(tmp_path / "m")
    assert network(4, loss=LOSSES["sse"]()).fit(X, X[:, :2]).loss == network(4, loss="sse").fit(X, X[:, :2]).loss


@portnn.register
@dataclass(frozen=True)
class Scaled(Loss):
    """A loss of one's own with an option."""

    factor: float = 1.0

    def __call__(self, xp, a, y, weight):
        e = (a - y) * self.factor
        return xp.sum(e * e * weight), 2.0 * self.factor * e * weight


@portnn.register
@dataclass(frozen=True)
class Constant(initializers.Initializer):
    value: float = 0.5

    def __call__(self, rng, shape, fan_in, fan_out):
        return np.full(shape, self.value)


@dataclass(frozen=True)
class Within(metrics.Metric):
    """A metric of one's own with an option."""

    width: float = 1.0

    def score(self, outputs, y, weight):
        return float(np.average((np.abs(outputs - y) <= self.width).all(axis=1), weights=weight))


def test_a_loss_with_options_of_ones_own(tmp_path):
    net = network(4, loss=Scaled(factor=2.0))
    net.fit(X, X[:, :2])
    net.save(tmp_path / "m")
    other = NeuralNetwork.load(tmp_path / "m")
    assert (net.loss, other.loss) == ("test_registry:Scaled", "test_registry:Scaled")
    assert other.fit(X, X[:, :2]).loss == net.fit(X, X[:, :2]).loss
    half = network(4, loss="mse")
    half.set_parameters(net.parameters)
    assert net.evaluate(X, X[:, :2])["loss"] == pytest.approx(8.0 * half.evaluate(X, X[:, :2])["loss"], rel=1e-5)


def test_initializers_with_options(tmp_path):
    """In a layer, in a block, for all widths; a name is an object with its defaults."""
    block = Residual((Dense(4, initializer=Constant(0.25)), "relu"))
    net = network(Dense(4, initializer=initializers.Normal(std=0.0)), block, initializer=Constant())
    values = [set(np.ravel(value).tolist()) for name, value in net.parameters.items() if name.startswith("W")]
    assert values == [{0.0}, {0.25}, {0.5}]
    net.save(tmp_path / "m")
    assert NeuralNetwork.load(tmp_path / "m").architecture == net.architecture
    one, other = network(4, initializer="orthogonal"), network(4, initializer=initializers.Orthogonal(gain=2.0))
    np.testing.assert_array_equal(2.0 * one.parameters["W1"], other.parameters["W1"])
    for bad in ("nothing", 3, Constant):
        with pytest.raises(ArgumentError, match="initializer: expected one of auto, zeros"):
            Dense(4, initializer=bad)


def test_metrics_with_options_of_ones_own():
    net = network(4)
    measured = net.evaluate(X, X[:, :2], metrics=[Within(), Within(width=0.0), metrics.RMSE()])
    assert measured["Within"] >= measured["Within(width=0.0)"] == 0.0
    assert measured["rmse"] == net.evaluate(X, X[:, :2], metrics=["rmse"])["rmse"]
    three = metrics.Metric(lambda outputs, y: 3.0, greater_is_better=False)
    assert net.evaluate(X, X[:, :2], metrics=[three])["<lambda>"] == 3.0


@portnn.register
@dataclass(frozen=True)
class Named(Passing):
    function: str = "twice"
    factor: float = 2.0


def test_an_option_called_function(tmp_path):
    network(4, Named("thrice", 3.0)).save(tmp_path / "m")
    assert NeuralNetwork.load(tmp_path / "m").architecture.layers[2] == Named("thrice", 3.0)


def test_an_option_that_is_an_array_and_a_metric_of_values_alone():
    measured = network(4).evaluate(X, X[:, :2], metrics=[Within(width=np.array([0.0, 9.0]))])
    assert measured["Within(width=[0. 9.])"] == 0.0
    classes = NeuralNetwork(3, 2, output="softmax", loss="cross_entropy", seed=0)
    values = metrics.Metric(lambda outputs, y: float(np.abs(outputs - y).mean()), regression_only=True)
    with pytest.raises(ArgumentError, match="is for targets that are values; got class labels"):
        classes.evaluate(X[:2], np.array([0, 1]), metrics=[values])


def test_losses_in_files_are_as_they_were():
    """A name alone, or a name with the options that are not its defaults: files and checkpoints of before go on."""
    assert losses.get_config(None) is None
    assert losses.get_config("cross_entropy") == losses.get_config(losses.CrossEntropy()) == "cross_entropy"
    for options in ({"smoothing": 0.1}, {"class_weight": (1.0, 2.0)}, {"smoothing": 0.1, "class_weight": (1.0, 2.0)}):
        written = {"loss": "cross_entropy", **{k: list(v) if k == "class_weight" else v for k, v in options.items()}}
        assert losses.get_config(Loss.named("cross_entropy", **options)) == written
        assert losses.from_config(written) == losses.CrossEntropy(**options)


def test_what_cannot_be_registered():
    @dataclass(frozen=True)
    class Local(Passing):
        factor: float = 2.0

    for thing, message in (
        (Plain, r"expected a dataclass \(a layer, .*\), a Loss"),
        ("Dense", "expected a dataclass"),
        (Local, r"expected something that a module holds by its name; got .*<locals>"),
        (Loss(lambda xp, a, y, w: (a, y)), "a module holds by its name; got .*<lambda>"),
    ):
        with pytest.raises(ArgumentError, match=message):
            portnn.register(thing)
