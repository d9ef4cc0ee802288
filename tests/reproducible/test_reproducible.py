"""Reproducible arithmetic: right within its bounds, in any order, on every backend; liars are refused."""

import math
from fractions import Fraction

import mpmath
import numpy as np
import pytest

from portnn import NeuralNetwork, get_backend
from portnn.backend import BoundNamespace
from portnn.errors import ArgumentError, BackendUnavailableError, DTypeError, ShapeError
from portnn.reproducible import elementary, exact
from portnn.reproducible.arithmetic import ARITHMETICS, Reproducible

RNG = np.random.default_rng(0)
NUMPY = get_backend("numpy")
XP = NUMPY.xp
COUNT = 300


def arithmetic(backend="numpy"):
    """Return the namespace of one call, and how arrays get there and back."""
    adapter = get_backend(backend)
    return ARITHMETICS["reproducible"](adapter).xp, adapter


def spread(low, high):
    """Return numbers of both signs, of magnitudes from 2^low to 2^high."""
    return RNG.uniform(-1, 1, COUNT) * 2.0 ** RNG.integers(low, high, COUNT)


FUNCTIONS = {
    "exp": (2, np.concatenate([RNG.uniform(-690, 699, COUNT), spread(-60, 3)])),
    "expm1": (3, np.concatenate([RNG.uniform(-50, 699, COUNT), spread(-60, 3)])),
    "tanh": (4, spread(-60, 6)),
    "log": (3, np.concatenate([np.abs(spread(-990, 1000)), 1.0 + spread(-50, -2)])),
    "log1p": (3, np.concatenate([np.abs(spread(-300, 1000)), spread(-50, 0)])),
    "cos": (1, np.concatenate([RNG.uniform(0, 2 * math.pi, COUNT), spread(0, 19)])),
    "sqrt": (0.5, np.abs(spread(-940, 1000))),
}
"""By name: the error that its docstring states, in units of 2^-52, and arguments from all over its range."""


@pytest.mark.parametrize("name", FUNCTIONS)
def test_elementary_functions_against_mpmath(name):
    limit, x = FUNCTIONS[name]
    xp, _ = arithmetic()
    with NUMPY.scope(), mpmath.workprec(200):
        for argument, value in zip(x, getattr(xp, name)(x), strict=True):
            truth = getattr(mpmath, name)(mpmath.mpf(float(argument)))
            size = 1 if name == "cos" else abs(truth)
            assert abs(mpmath.mpf(float(value)) - truth) <= limit * 2.0**-52 * size, argument


def test_the_ends_of_elementary_functions():
    xp, _ = arithmetic()
    x = np.array([0.0, -0.0, 1e-310, 800.0, -800.0, math.inf, -math.inf, math.nan])
    expected = {
        "exp": [1, 1, 1, math.inf, 0, math.inf, 0, math.nan],
        "expm1": [0, 0, None, math.inf, -1, math.inf, -1, math.nan],
        "tanh": [0, 0, None, 1, -1, 1, -1, math.nan],
        "log": [-math.inf, -math.inf, -math.inf, math.log(800), math.nan, math.inf, math.nan, math.nan],
        "log1p": [0, 0, None, math.log1p(800), math.nan, math.inf, math.nan, math.nan],
        "sign": [0, 0, None, 1, -1, 1, -1, math.nan],
        "sqrt": [0, 0, None, math.sqrt(800), math.nan, math.inf, math.nan, math.nan],
    }
    with NUMPY.scope():
        for name, values in expected.items():
            for argument, value, got in zip(x, values, getattr(xp, name)(x), strict=True):
                assert value is None or got == pytest.approx(value, rel=1e-15, nan_ok=True), (name, argument)
        assert xp.log1p(np.array([-1.0]))[0] == -math.inf
        assert not np.signbit(xp.maximum(np.array([-0.0]), 0.0)).any()
        assert not np.signbit(xp.max(np.array([-0.0, -0.0])))


def test_a_square_root_that_is_off_by_a_unit_is_put_right():
    class Careless:
        """PyTorch's roots are a unit off in a few elements of a thousand; here in most."""

        def sqrt(self, x):
            root = np.sqrt(x)
            off = np.spacing(root) * (np.arange(len(x)) % 3 - 1)
            return np.where((x > 0) & np.isfinite(x), root + off, root)

        def __getattr__(self, name):
            return getattr(XP, name)

    x = np.concatenate([np.abs(spread(-950, 1000)), [0.0, math.inf]])
    with NUMPY.scope():
        np.testing.assert_array_equal(elementary.sqrt(Careless(), x), np.sqrt(x))


HALF = RNG.standard_normal((7, 150))
DATA = {
    "normal": RNG.standard_normal((7, 300)),
    "lognormal": np.exp(4 * RNG.standard_normal((7, 300))),
    "outlier": np.where(np.arange(300) == 3, 1e12, RNG.standard_normal((7, 300))),
    "denormal": RNG.standard_normal((7, 300)) * 1e-310,
    "zero": np.zeros((7, 300)),
    "cancelling": np.concatenate([HALF, -HALF], axis=1),
}


@pytest.mark.parametrize("name", DATA)
@pytest.mark.parametrize("terms", [1, 2, 255, 300])
def test_sums(name, terms):
    """Within the bound of the exact sum, and the same bits in any order."""
    xp, _ = arithmetic()
    x = DATA[name][:, :terms]
    total = xp.sum(x, axis=1)
    order = RNG.permutation(terms)
    np.testing.assert_array_equal(total, xp.sum(x[:, order], axis=1))
    np.testing.assert_array_equal(total, xp.sum(np.ascontiguousarray(x.T)[order], axis=0))
    assert not np.signbit(total[total == 0]).any()
    bits = 51 - (terms - 1).bit_length()
    for row, value in zip(x, total, strict=True):
        # The docstring's: half a unit an element, of a scale that is below twice the largest.
        bound = terms * 2.0**-bits * max(np.abs(row).max(), exact.LEAST)
        assert abs(Fraction(float(value)) - sum(map(Fraction, row.tolist()))) <= Fraction(bound)


def test_long_sums_are_cut_twice():
    x = RNG.standard_normal(100_001)
    xp, _ = arithmetic()
    total = float(xp.sum(x))
    assert abs(total - math.fsum(x)) <= 100_001 * 2.0**-68 * np.abs(x).max() + np.spacing(abs(total))
    assert total == float(xp.sum(RNG.permutation(x)))
    assert float(xp.sum(x.reshape(1, -1, 1), axis=(0, 2), keepdims=True).sum()) != 0
    assert xp.sum(np.zeros((0, 3)), axis=0).tolist() == [0, 0, 0]
    assert int(xp.sum(np.arange(5))) == 10
    with pytest.raises(DTypeError, match="float32"):
        xp.sum(np.ones(3, np.float32))


@pytest.mark.parametrize("name", DATA)
def test_products(name):
    """Within the bound of the exact product, and the same bits in any order of the terms."""
    xp, _ = arithmetic()
    a, b = DATA[name], RNG.standard_normal((300, 4))
    product = xp.matmul(a, b)
    order = RNG.permutation(300)
    np.testing.assert_array_equal(product, xp.matmul(a[:, order], b[order]))
    assert not np.signbit(product[product == 0]).any()
    for i, j in np.ndindex(product.shape):
        truth = sum(Fraction(float(u)) * Fraction(float(v)) for u, v in zip(a[i], b[:, j], strict=True))
        sizes = max(2 * np.abs(a[i]).max(), exact.LEAST * 2) * 2 * np.abs(b[:, j]).max()
        assert abs(Fraction(float(product[i, j])) - truth) <= Fraction(1.25 * 300 * 2.0**-40 * sizes)


def test_a_transposed_operand_is_as_accurate():
    """It is cut by its own rows and columns: of very different sizes, forward and in both gradients."""
    xp, _ = arithmetic()
    x = RNG.standard_normal((40, 9)) * 10.0 ** RNG.integers(-9, 9, (40, 1))
    w = RNG.standard_normal((9, 5)) * 10.0 ** RNG.integers(-9, 9, (1, 5))
    dy = RNG.standard_normal((40, 5))
    xp.matmul(x, w)
    dw, dx = xp.matmul(xp.matrix_transpose(x), dy), xp.matmul(dy, xp.matrix_transpose(w))
    for got, left, right in ((dw, x.T, dy), (dx, dy, w.T)):
        truth = np.asarray(left, np.longdouble) @ np.asarray(right, np.longdouble)
        scales = 4 * np.abs(left).max(axis=1, keepdims=True) * np.abs(right).max(axis=0)
        assert np.all(np.abs(got - truth) <= 1.25 * left.shape[1] * 2.0**-40 * scales)
    # Neither what was remembered nor that it is known as a transpose changes a bit.
    fresh, _ = arithmetic()
    np.testing.assert_array_equal(fresh.matmul(fresh.matrix_transpose(x), dy), dw)
    np.testing.assert_array_equal(fresh.matmul(np.ascontiguousarray(x.T), dy), dw)


def test_long_products_are_added_up_in_blocks():
    xp, _ = arithmetic()
    a, b = RNG.standard_normal((3, 5000)), RNG.standard_normal((5000, 2))
    product = xp.matmul(a, b)
    assert np.all(np.abs(product - np.asarray(a, np.longdouble) @ b) <= 1.25 * 5000 * 2.0**-40 * 64)
    blocks = sum(xp.matmul(a[:, i : i + 1024], b[i : i + 1024]) for i in range(0, 5000, 1024))
    np.testing.assert_allclose(product, blocks, rtol=0, atol=1e-9)
    assert xp.matmul(np.zeros((0, 3)), np.zeros((3, 2))).shape == (0, 2)


def test_a_product_of_zero_has_no_sign():
    """Whether 0 times -1 is 0 or -0 is a library's own affair, where it does not add to a zero."""

    class Signed:
        def matmul(self, a, b):
            product = np.matmul(a, b)
            return np.where(product == 0, -0.0, product)

        def __getattr__(self, name):
            return getattr(XP, name)

    a, b = np.array([[0.0], [2.0]]), np.array([[-1.0]])
    product = exact.product(Signed(), exact.split(a, exact.scale(XP, a, 1)), exact.split(b, exact.scale(XP, b, 0)))
    assert product.tolist() == [[0], [-2]]
    assert not np.signbit(product[0, 0])


def test_denormals_are_zero():
    """JAX makes them so: in what the optimizer keeps, in data, in buffers."""
    computes = ARITHMETICS["reproducible"](NUMPY)
    run = computes.elementwise([(3, lambda xp, vectors, numbers: (vectors[0] * 2.0**-40,))])
    values = np.array([2.0**-1000, 2.0**-890, -1.0])
    (result,) = run(computes.xp, [values], ())
    assert result.tolist() == [0, 2.0**-930, -(2.0**-40)]
    assert computes.flush_denormals(np.array([1e-310, 2.0, np.inf])).tolist() == [0, 2, np.inf]
    assert computes.flush_denormals(np.array([3], np.int32)).tolist() == [3]


def test_nan_and_infinity_are_carried_through():
    xp, _ = arithmetic()
    for bad in (math.nan, math.inf, -math.inf):
        x = np.ones((3, 4))
        x[1, 2] = bad
        with NUMPY.scope():
            product, total = xp.matmul(x, np.ones((4, 2))), xp.sum(x, axis=1)
        assert not np.isfinite(product[1]).any()
        assert not np.isfinite(total[1])
        assert product[[0, 2]].tolist() == [[4, 4]] * 2
        assert total[[0, 2]].tolist() == [4, 4]


def test_stacks_of_matrices_are_multiplied_one_by_one(backend):
    """Each with its own scales: a large one takes no digits from the others."""
    xp, adapter = arithmetic(backend)
    sizes = np.array([1.0, 1e9, 1e-9])[:, None, None]
    a, b = RNG.standard_normal((4, 7)), RNG.standard_normal((3, 7, 5)) * sizes
    with adapter.scope():
        left, right = adapter.asarray(a), adapter.asarray(b)
        product = adapter.to_numpy(xp.matmul(left, right))
        alone = [adapter.to_numpy(xp.matmul(left, adapter.asarray(one))) for one in b]
        turned = adapter.to_numpy(xp.matmul(xp.matrix_transpose(right), xp.matrix_transpose(left)))
    assert np.array_equal(product, alone)
    assert np.array_equal(turned, np.swapaxes(product, 1, 2))
    assert np.abs(product / (a @ b) - 1).max() < 1e-6


def test_what_may_differ_is_refused():
    xp, _ = arithmetic()
    for name in ("sin", "mean", "var", "prod", "linalg", "cumulative_sum"):
        with pytest.raises(AttributeError, match=rf"xp\.{name} may differ"):
            getattr(xp, name)
    with pytest.raises(ShapeError, match="expected matrices"):
        xp.matmul(np.ones(3), np.ones((3, 3)))


# ---- known answers


def test_every_backend_knows_the_answers(backend):
    assert isinstance(ARITHMETICS["reproducible"](get_backend(backend)), Reproducible)
    assert ARITHMETICS["reproducible"](get_backend(backend)) is ARITHMETICS["reproducible"](get_backend(backend))


FAULTS = {
    "a product of matrices": {"matmul": lambda a, b: (a.astype("f4") @ b.astype("f4")).astype("f8")},
    "a sum": {"sum": lambda x, **options: np.sum(x.astype("f4"), **options).astype("f8")},
    "exp": {"round": np.floor},
    "log": {"searchsorted": lambda table, x, side: np.searchsorted(table, x, side="right") - 1},
    "cos": {"floor": np.ceil},
    "a maximum": {"max": lambda x, **options: np.max(x, **options) + 1e-300},
}


@pytest.mark.parametrize("name", FAULTS)
def test_a_library_that_computes_otherwise_is_refused(name):
    """TF32-like products, sums in float32, another rounding ...: with the reason."""

    class Tampered(type(NUMPY)):
        def __init__(self):
            super().__init__()
            self.xp = BoundNamespace(XP, "cpu")
            vars(self.xp).update(FAULTS[name])

    with pytest.raises(BackendUnavailableError, match=rf"numpy:cpu cannot compute reproducibly: {name} has other bits"):
        Reproducible(Tampered())


def test_a_device_without_float64_is_refused():
    with pytest.raises(BackendUnavailableError, match="needs float64; array_api_strict:no_float64 has none"):
        NeuralNetwork(2, 1, backend="array_api_strict:no_float64", arithmetic="reproducible")


def test_arguments():
    with pytest.raises(ArgumentError, match="arithmetic: expected one of fast, reproducible; got 'exact'"):
        NeuralNetwork(2, 1, arithmetic="exact")
    with pytest.raises(ArgumentError, match="dtype: reproducible arithmetic is float64 throughout; got 'float32'"):
        NeuralNetwork(2, 1, arithmetic="reproducible", dtype="float32")
    net = NeuralNetwork(2, 1, arithmetic="reproducible", seed=0)
    with pytest.raises(ArgumentError, match="dtype"):
        net.to(dtype="float32")
    with pytest.raises(ArgumentError, match="arithmetic"):
        net.to(arithmetic="exact")
