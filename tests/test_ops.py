"""One table of array functions: each has a bound, a true value, a reproducible form, a recording and a case."""

import numpy as np
import pytest
from conftest import spare

from portnn import ArgumentError, Dense, Layer, NeuralNetwork, Shapes, compare, register_op
from portnn.backend import get_backend
from portnn.equivalence.conformance import FUNCTIONS
from portnn.jit.targets import NumPyTarget
from portnn.jit.tracer import Tape, TracingNamespace
from portnn.numerics.bounds import ULPS, BoundedArray, BoundingNamespace
from portnn.numerics.mpmath_namespace import MpmathNamespace
from portnn.ops import CORE, ELEMENTWISE, OPS, REGISTERED, names
from portnn.reproducible.arithmetic import ARITHMETICS
from portnn.testing import check_backend, check_gradients

CORE_OPS = sorted(CORE)


class Calls:
    """A namespace that notes which of its functions are called."""

    def __init__(self):
        self.names = set()

    def __getattr__(self, name):
        self.names.add(name)
        return getattr(get_backend("numpy").xp, name)


@pytest.fixture(scope="module")
def readings():
    """Every meaning that the core's functions have."""
    pytest.importorskip("mpmath")
    numpy = get_backend("numpy")
    reproducible = ARITHMETICS["reproducible"](numpy).xp
    return {
        "bound": BoundingNamespace(),
        "true value": MpmathNamespace("float64"),
        "reproducible form": reproducible,
        "recording": TracingNamespace(Tape(numpy.xp)),
    }


@pytest.mark.parametrize("name", CORE_OPS)
def test_each_function_has_every_meaning(name, readings):
    for meaning, namespace in readings.items():
        assert hasattr(namespace, name), f"{name} has no {meaning}"


@pytest.mark.parametrize("name", CORE_OPS)
def test_adapters_are_asked_for_each_function(name):
    """portnn.testing.check_backend goes through these cases."""
    xp, (a, b) = Calls(), np.random.default_rng(0).random((2, 5, 5)) + 0.5
    for case in FUNCTIONS.values():
        case(xp, a, b)
    asked = xp.names | {"slice"}
    assert name in asked, f"{name} has no case in portnn/equivalence/conformance.py"


@pytest.mark.parametrize("name", sorted(names("elementwise", "comparison") - {"astype"}))
def test_each_element_wise_function_can_be_written(name):
    target = NumPyTarget()
    assert target._UFUNCS.get(name, name) in target.names


def test_elementary_functions_have_an_error():
    """Those that libraries compute each in its own way are no exact ones, and their bound is the table's."""
    elementary = {op.name for op in OPS if op.ulps is not None}
    assert elementary == set(ULPS) == {op.name for op in OPS if op.reference and op.name != "sign"} | {"divide"}
    assert not any(op.exact for op in OPS if op.ulps is not None)
    x = BoundedArray.from_input(np.array([0.5], np.float32))
    for name in elementary - {"divide"}:
        found = getattr(BoundingNamespace(), name)(x)
        least = ULPS[name] * np.finfo(np.float32).eps * abs(found.value) * 0.99
        assert found.error >= (least if name != "cos" else 0), name


@pytest.mark.parametrize("axis", [0, 1])
def test_arrays_are_joined_along_any_axis(axis, readings):
    rng = np.random.default_rng(0)
    shapes = [(3, 4), (2, 4)] if axis == 0 else [(3, 4), (3, 1)]
    arrays = [rng.random(shape).astype(np.float32) for shape in shapes]
    expected = np.concatenate(arrays, axis)
    found = readings["bound"].concat([BoundedArray(a, a / 8) for a in arrays], axis=axis)
    np.testing.assert_array_equal(found.value, expected)
    np.testing.assert_array_equal(found.error, expected / 8)
    exact = readings["true value"]
    joined = exact.concat([exact.exact(a.astype(np.float64)) for a in arrays], axis=axis)
    np.testing.assert_array_equal(joined.astype(np.float64), expected)


class Twice(Layer):
    """A user's layer that joins columns, and rows of its own: y = [x, 2 x, x]."""

    def shapes(self, features):
        return Shapes((3 * features[0],))

    def forward(self, xp, weights, x, mode):
        rows, columns = x.shape
        both = xp.concat([x, x * 2.0], axis=0)
        y = xp.concat([both[:rows, :], both[rows:, :], x], axis=1)

        def backward(dy):
            return dy[:, :columns] + 2.0 * dy[:, columns : 2 * columns] + dy[:, 2 * columns :], {}

        return y, backward


def test_a_layer_that_joins_is_recorded(backend, caplog):
    """The steps of a recorded program are those of call by call."""
    x, y = np.random.default_rng(0).random((2, 20, 3))
    net = NeuralNetwork(3, Dense(4), Twice(), Dense(3), seed=0, backend=backend)
    plain = NeuralNetwork(3, Dense(4), Twice(), Dense(3), seed=0, backend="array_api_strict")
    for _ in range(3):
        net.step(x, y)
        plain.step(x, y)
    assert not caplog.records
    for name, value in net.to("numpy").parameters.items():
        np.testing.assert_allclose(value, np.asarray(plain.to("numpy").parameters[name]), rtol=1e-5, atol=1e-7)
    check_gradients(NeuralNetwork(3, Dense(4), Twice(), Dense(3), seed=0), x, y, elements=4)


@pytest.fixture
def registered():
    """atan, which no layer of ours calls, for one test."""
    register_op("atan", ulps=4, slope=1)
    yield "atan"
    del REGISTERED["atan"]
    ELEMENTWISE.discard("atan")


class Arctan(Layer):
    """A user's layer, y = atan x; dx = dy / (1 + x²)."""

    def shapes(self, features):
        return Shapes(features)

    def forward(self, xp, weights, x, mode):
        return xp.atan(x), lambda dy: (dy * (1.0 / (1.0 + x * x)), {})


def made(**options):
    return NeuralNetwork(3, Dense(4), Arctan(), Dense(3), seed=0, **options)


def test_a_function_that_is_registered_is_recorded_and_bounded(registered, backend, caplog):
    """Judged by float64, and by 50 digits; a wrong one is broken."""
    spare(backend, "which records nothing of its own")
    x, y = np.random.default_rng(0).random((2, 20, 3))
    net = made(backend=backend)
    net.step(x, y)
    net.step(x, y)
    assert not caplog.records
    assert check_backend(backend) is None
    for options in ({}, {"dtype": "float64"}):
        assert compare(made(**options), x, y, backends=["array_api_strict"], steps=1).holds
    check_gradients(made(), x, y)


def test_a_registered_function_that_is_off_is_seen(registered, monkeypatch):
    x, y = np.random.default_rng(0).random((2, 20, 3))
    xp = get_backend("array_api_strict").xp
    right = xp.atan
    monkeypatch.setattr(xp, "atan", lambda a: right(a) * (1.0 + 1e-5))
    report = compare(made(), x, y, backends=["array_api_strict"], steps=1)
    assert not report.holds
    assert "2 Arctan, output" in report.verdict()


def test_adapters_are_asked_for_what_is_registered(registered, monkeypatch):
    xp = get_backend("array_api_strict").xp
    right = xp.atan
    monkeypatch.setattr(xp, "atan", lambda a: right(a) * (1.0 + 1e-5))
    with pytest.raises(AssertionError, match="atan of float32: "):
        check_backend("array_api_strict")


def test_without_a_bound_a_function_is_named(caplog):
    x, y = np.random.default_rng(0).random((2, 20, 3))
    net = made(backend="numpy")
    net.step(x, y)
    net.step(x, y)
    assert "xp.atan is not a function that the tracer knows, nor registered" in caplog.text
    with pytest.raises(AttributeError, match=r"xp\.atan has no bound yet: give it one by portnn\.register_op"):
        compare(made(), x, y, backends=["array_api_strict"], steps=1)


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("exp", {}, "name: exp is among the functions of portnn/ops.py already"),
        ("a b", {}, "name: expected that of a function; got 'a b'"),
        (3, {}, "name: expected that of a function; got 3"),
        ("atan", {"ulps": -1}, "ulps: expected a number"),
        ("atan", {"slope": float("nan")}, "slope: expected a number"),
        ("atan", {"slope": None}, "slope: expected a number"),
    ],
)
def test_what_cannot_be_registered_is_refused(name, options, message):
    with pytest.raises(ArgumentError, match=message):
        register_op(name, **{"ulps": 4, "slope": 1, **options})
    assert not REGISTERED
