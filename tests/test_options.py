"""Options: a NumPy scalar or a 0-d array means its number, in every layer and optimizer and on every backend."""

from dataclasses import dataclass, fields

import numpy as np
import pytest

from portnn import (
    SGD,
    Adam,
    ArgumentError,
    BatchNorm,
    DataError,
    Dense,
    Dropout,
    DTypeError,
    Forward,
    Layer,
    NeuralNetwork,
    Residual,
    ShapeError,
    compare,
    get_backend,
)
from portnn.backend import host_array
from portnn.equivalence.networks import sample
from portnn.nn.layer import Shapes
from portnn.nn.layers import LAYERS
from portnn.optim.optimizer import Optimizer
from portnn.optim.optimizers import OPTIMIZERS
from portnn.options import as_python

X, Y = np.random.default_rng(0).random((2, 24, 5))
KINDS = {
    "float64": np.float64,
    "float32": np.float32,
    "0-d": np.array,
    "longdouble": np.longdouble,
}
# Exact in float32, so that every kind means one number.
NUMBERS = {"learning_rate": 0.25, "momentum": 0.5, "beta1": 0.875, "beta2": 0.75, "epsilon": 2.0**-20, "rate": 0.25}
NUMBERS |= {"weight_decay": 0.125, "l1": 0.25, "l2": 0.5, "clip_norm": 1.5, "average": 0.75, "decay": 0.5}


@pytest.mark.parametrize("number", [*KINDS.values(), np.float16])
def test_plain(number):
    assert type(as_python(number(0.25))) is float
    assert as_python((number(0.25), 1, "a")) == (0.25, 1, "a")
    for whole in (np.int64, np.uint8, np.array):
        assert type(as_python(whole(3))) is int
    assert as_python(np.True_) is True
    for same in ("adam", None, 3, 0.5, [1, 2], np.ones(1)):
        assert as_python(same) is same or as_python(same) == same


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("made", [*OPTIMIZERS.values(), Dropout], ids=lambda made: made.__name__)
def test_every_field_becomes_a_plain_number(made, kind):
    numbers = {field.name: NUMBERS[field.name] for field in fields(made) if field.name in NUMBERS}
    one = made(**{name: KINDS[kind](value) for name, value in numbers.items()})
    assert one == made(**numbers)
    assert {type(getattr(one, name)) for name in numbers} == {float}
    inorder = [field.name for field in fields(made) if not field.kw_only and field.name in numbers]
    assert made(*[KINDS[kind](numbers[name]) for name in inorder]) == made(**{name: numbers[name] for name in inorder})


def test_every_layer_is_made_by_the_mechanism():
    kinds = {type(kind) for kind in (*LAYERS.values(), *OPTIMIZERS.values())}
    assert kinds == {type(Layer)} == {type(Optimizer)}


def test_options_of_other_libraries(backend):
    adapter = get_backend(backend)
    rate = adapter.asarray(0.25, "float32")
    assert SGD(rate) == SGD(0.25)
    assert type(Dropout(rate).rate) is float
    assert Dense(adapter.asarray(4)) == Dense(4)


@pytest.mark.parametrize("kind", KINDS)
def test_the_same_fit_with_plain_and_with_other_numbers(backend, kind):
    """One network with Python's numbers, one with NumPy's: equal bits; and each backend within its bounds."""
    number = KINDS[kind]

    def trained(number, whole):
        optimizer = Adam(number(0.03125), number(0.875), number(0.75), epsilon=number(2.0**-20))
        net = NeuralNetwork(
            whole(5), whole(8), Dropout(number(0.25)), whole(5), optimizer=optimizer, seed=whole(3), backend=backend
        )
        start = net.fingerprint()
        net.fit(X, Y, epochs=whole(2), batch_size=whole(9), validation=number(0.25))
        net.step(X, Y)
        return start, net

    (start, net), (other_start, other) = trained(number, np.int64), trained(float, int)
    assert start == other_start == NeuralNetwork(5, 8, Dropout(0.25), 5, seed=3, backend="numpy").fingerprint()
    assert net.fingerprint() == other.fingerprint()
    assert {str(host_array(value).dtype) for value in net.parameters.values()} == {"float32"}
    assert {str(host_array(slot).dtype) for slot in net._runtime.state.opt_state} == {"float32"}
    assert host_array(net.predict(X)).dtype == np.float32
    if backend != "numpy":
        report = compare(net, X, Y, backends=[backend], steps=np.int64(1), batch_size=np.int64(9))
        assert report.holds, report.verdict()


@dataclass(frozen=True)
class Leaky(Layer):
    """A user's layer whose default and derived attributes come from NumPy."""

    slope: float = np.float64(0.125)

    def __post_init__(self):
        object.__setattr__(self, "rest", np.sqrt(0.5))

    def shapes(self, features):
        return Shapes(features)

    def forward(self, xp, weights, x, mode):
        mask = xp.astype(x > 0, x.dtype) * self.rest + self.slope
        return x * mask, lambda dy: (dy * mask, {})


class Careless(Layer):
    """A user's layer that computes with a NumPy scalar of its own."""

    def shapes(self, features):
        return Shapes(features)

    def forward(self, xp, weights, x, mode):
        return x * np.sqrt(2.0), lambda dy: (dy * np.sqrt(2.0), {})


def test_layers_of_users(backend):
    layer = Leaky()
    assert {type(value) for value in vars(layer).values()} == {float}
    net = NeuralNetwork(5, 6, layer, 5, backend=backend, seed=0)
    net.fit(X, Y)
    assert {str(host_array(value).dtype) for value in net.parameters.values()} == {"float32"}


def test_a_layer_that_promotes_is_refused_and_changes_nothing():
    net = NeuralNetwork(5, 6, Careless(), 5, backend="numpy", seed=0)
    before = net.fingerprint()
    with pytest.raises(DTypeError, match="expected float32 throughout; got float64"):
        net.fit(X, Y)
    with pytest.raises(DTypeError, match="NumPy scalar"):
        net.step(X, Y)
    assert net.fingerprint() == before
    assert net.step_count == 0


def of_before(**members):
    """Return a layer with members by the names that they had before PreprocessingLayer."""

    def shapes(self, features):
        return Shapes(features, {}, {"mean": (features, "zeros")})

    def forward(self, xp, weights, x, mode):
        return xp.astype(x, weights["mean"].dtype) - weights["mean"], lambda dy: (dy, {})

    return type("Before", (Layer,), {"shapes": shapes, "forward": forward, **members})()


def test_members_of_layers_by_their_old_names():
    members = {
        "fitted_to": "x",
        "enter": lambda self, xp, weights, x: x * 2.0,
        "fitted": lambda self, statistics: {"mean": statistics.mean * 2.0},
        "drawn": lambda self, rng, shape: rng.random(shape) + 1.0,
    }
    with pytest.warns(DeprecationWarning, match="enter is now preprocess, fitted is now from_statistics"):
        layer = of_before(**members)
    net = NeuralNetwork(3, layer, 2, backend="numpy", seed=0)
    net.fit(X[:, :3], X[:, :2])
    np.testing.assert_allclose(net.buffers["mean1"], 2.0 * X[:, :3].mean(axis=0), rtol=1e-6)
    np.testing.assert_allclose(net._inputs(X[:4, :3]), X[:4, :3] * 2.0, rtol=1e-6)
    assert sample(net, 5)[0].min() >= 1.0
    with pytest.raises(ArgumentError, match="Before must be the first layer"):
        NeuralNetwork(3, 4, layer, 2)


def test_whole_numbers_and_least_rows_by_their_old_names():
    with pytest.warns(DeprecationWarning, match="codes is now num_categories, least_rows is now Shapes"):
        layer = of_before(codes=7, least_rows=3)
    net = NeuralNetwork(3, layer, 2, backend="numpy", seed=0)
    codes = np.arange(21).reshape(7, 3) % 7
    net.fit(codes, X[:7, :2], batch_size=7)
    assert net._inputs(codes).dtype == np.int32
    with pytest.raises(DataError, match="expected whole numbers below 7"):
        net.predict(codes + 1)
    with pytest.raises(ShapeError, match="at least 3 rows"):
        net.step(codes[:2], X[:2, :2])


def test_a_block_needs_the_rows_that_its_layers_need():
    net = NeuralNetwork(5, Residual((BatchNorm(),)), 2, backend="numpy", seed=0)
    with pytest.raises(ShapeError, match="at least 2 rows"):
        net.step(X[:1], X[:1, :2])


def test_a_forward_pass_is_one_object_and_the_tuple_of_before():
    result = Forward(1, 2, {"mean": 3})
    assert Forward.of((1, 2, {"mean": 3})) == result
    assert Forward.of(result) is result
    assert tuple(result) == (1, 2, {"mean": 3})
    assert tuple(Forward(1, 2)) == (1, 2)


@pytest.mark.parametrize("option", ["epochs", "batch_size"])
@pytest.mark.parametrize("value", [True, 2.0, np.float64(2), "2", np.array([2]), np.int64(0)])
def test_counts_are_whole_numbers(option, value):
    with pytest.raises(ArgumentError, match=f"{option}: expected a positive int"):
        NeuralNetwork(5, 5).fit(X, Y, **{option: value})


@pytest.mark.parametrize("bad", [True, np.True_, np.float64("nan"), np.array(-0.5), np.float32("inf"), "0.1", None])
def test_numbers_out_of_range(bad):
    for make in (lambda: SGD(bad), lambda: Dropout(bad), lambda: Adam(epsilon=bad)):
        with pytest.raises(ArgumentError, match="expected a number in"):
            make()


def test_seeds():
    assert NeuralNetwork(5, 5, seed=np.uint8(7)).seed == 7
    for bad in (True, 1.0, "1", np.array([1])):
        with pytest.raises(ArgumentError, match="seed: expected an int"):
            NeuralNetwork(5, 5, seed=bad)


def test_the_context_of_a_forward_pass_by_its_old_names():
    import portnn.types

    with pytest.warns(DeprecationWarning, match=r"types\.Mode is now called ForwardContext"):
        assert portnn.types.Mode is portnn.types.ForwardContext
    context = portnn.types.ForwardContext(needs_input_grad=False)
    with pytest.warns(DeprecationWarning, match="input_gradient is now called"):
        assert context.input_gradient is False
    with pytest.warns(DeprecationWarning, match="reduce is now called"):
        assert context.reduce is None
