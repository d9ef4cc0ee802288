"""Bounds hold for every library, and break for products of fewer bits."""

import numpy as np
import pytest
from faulty import kept_bits

from portnn import get_backend
from portnn.numerics.bounds import ULPS, BoundedArray, BoundingNamespace

XP = BoundingNamespace()
RNG = np.random.default_rng(0)


def exact(array, dtype="float32"):
    return BoundedArray(np.asarray(array, np.float64), 0.0, dtype)


@pytest.mark.parametrize("draw", ["standard_normal", "random"])
@pytest.mark.parametrize("k", [1, 16, 784, 4096])
def test_products(backend, k, draw):
    a, b = getattr(RNG, draw)((128, k)).astype(np.float32), RNG.standard_normal((k, 64)).astype(np.float32)
    bound = XP.matmul(exact(a), exact(b)).error
    adapter = get_backend(backend)
    with adapter.scope():
        got = adapter.to_numpy(adapter.xp.matmul(adapter.asarray(a), adapter.asarray(b)))
    reference = a.astype(np.float64) @ b.astype(np.float64)
    assert np.all(np.abs(got - reference) <= bound)
    if k >= 784:
        for bits in (10, 7):
            fewer = kept_bits(a, bits) @ kept_bits(b, bits)
            assert np.max(np.abs(fewer - reference) / (2 * bound)) > 1  # twice: two computations are compared


@pytest.mark.parametrize("function", [name for name in ULPS if name != "divide"])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_elementary_functions(backend, function, dtype):
    """Against NumPy in twice the precision (float32), or with half an ulp of the platform's long double to spare."""
    adapter = get_backend(backend)
    limit = {"exp": 80.0, "expm1": 80.0, "tanh": 12.0, "cos": 7.0}.get(function, 1e6)
    x = np.concatenate(
        [RNG.uniform(-1, 1, 40_000) * limit, RNG.uniform(-1, 1, 40_000), 10.0 ** RNG.uniform(-30, 1, 40_000)]
    )
    if function in ("log", "sqrt", "log1p"):
        x = np.abs(x)
    x = x.astype(dtype)
    with adapter.scope():
        got = adapter.to_numpy(getattr(adapter.xp, function)(adapter.asarray(x)))
    wider = np.float64 if dtype == "float32" else np.longdouble
    truth = getattr(np, function)(x.astype(wider))
    assert got.dtype == dtype
    bound = getattr(XP, function)(exact(x, dtype)).error
    assert np.all(np.abs(got - truth) <= bound)


def test_errors_are_carried():
    """Each operation, with operands moved by up to their errors, stays within its bound."""
    a, b = RNG.uniform(0.5, 2, (2, 5, 5))
    da, db = 1e-3 * a, 1e-3 * b
    x, y = BoundedArray(a, da, "float64"), BoundedArray(b, db, "float64")
    operations = [
        lambda n, x, y: x + y,
        lambda n, x, y: x - y,
        lambda n, x, y: x * y,
        lambda n, x, y: x / y,
        lambda n, x, y: 1.0 / y,
        lambda n, x, y: 2.0 - x,
        lambda n, x, y: n.exp(x),
        lambda n, x, y: n.log(x),
        lambda n, x, y: n.log1p(x),
        lambda n, x, y: n.tanh(x),
        lambda n, x, y: n.sqrt(x),
        lambda n, x, y: n.abs(n.negative(x)),
        lambda n, x, y: n.max(x, axis=1),
        lambda n, x, y: n.sum(x, axis=0),
        lambda n, x, y: n.sum(x),
        lambda n, x, y: n.matmul(x, y),
        lambda n, x, y: n.astype(x > y, n.float64) * x,
        lambda n, x, y: n.astype(x < 1.25, n.float64) * x,
    ]
    import array_api_compat.numpy as xp

    for operation in operations:
        bound = operation(XP, x, y)
        centre = operation(xp, a, b)
        np.testing.assert_allclose(bound.value, centre, rtol=1e-15)
        largest = 0.0
        for _ in range(200):
            moved = operation(xp, a + da * RNG.choice([-1, 1], a.shape), b + db * RNG.choice([-1, 1], b.shape))
            # a + da is itself rounded, by 2^-53 of a: a share of 4e-13 of da.
            assert np.all(np.abs(moved - centre) <= bound.error * (1 + 1e-11))
            largest = max(largest, float(np.max(np.abs(moved - centre) / bound.error)))
        assert largest > 0.4  # and is not loose by much


def test_an_unbounded_error_times_nothing_is_nothing():
    unbounded = BoundedArray(np.array([1.0, 0.0]), np.array([np.inf, np.inf]), "float64")
    tiny = 2 * np.finfo("float64").smallest_normal
    with np.errstate(invalid="ignore"):
        assert (unbounded * BoundedArray(np.zeros(2), 0.0, "float64")).error.max() <= tiny
        assert (unbounded * 1.0).error.min() == np.inf


def test_a_kink_is_in_doubt_only_near_it():
    z = BoundedArray(np.array([-1.0, -1e-9, 1e-9, 1.0]), 1e-8, "float64")
    np.testing.assert_array_equal(XP.astype(z > 0, XP.float64).error, [0, 1, 1, 0])
    np.testing.assert_array_equal((exact([0.0, 1.0]) > 0).error, [0, 0])


def test_an_equality_is_in_doubt_where_numbers_are_as_near_as_their_errors():
    x, y = (BoundedArray(np.array(v), 1e-8, "float64") for v in ([1.0, 1.0, 1.0], [1.0, 1.0 + 1e-8, 1.1]))
    np.testing.assert_array_equal((x == y).error, [1, 1, 0])
    np.testing.assert_array_equal((exact([0.0, np.inf]) == exact([0.0, np.inf])).error, [0, 0])


def test_the_larger_of_two_moves_as_those_that_may_be_it():
    x = BoundedArray(np.array([1.0, 1.0, 3.0]), np.array([0.1, 0.1, 0.1]), "float64")
    y = BoundedArray(np.array([1.05, 2.0, 1.0]), np.array([0.2, 0.2, 0.2]), "float64")
    np.testing.assert_array_equal(XP.maximum(x, y).error, [0.2, 0.2, 0.1])
    np.testing.assert_array_equal(XP.maximum(y, x).error, [0.2, 0.2, 0.1])
    np.testing.assert_array_equal(XP.minimum(x, y).value, [1.0, 1.0, 1.0])
    np.testing.assert_array_equal(XP.minimum(x, y).error, [0.2, 0.1, 0.2])


def test_integers_are_exact_and_wrap():
    from portnn.nn import random
    from portnn.types import ForwardContext

    mode = ForwardContext(key=(1, -2), layer=3)
    got = random.bits(XP, mode, (9, 7))
    import array_api_compat.numpy as xp

    np.testing.assert_array_equal(got.value, random.bits(xp, mode, (9, 7)))
    assert not got.error.any()


def test_whole_numbers_are_exact():
    """And wrap; their errors would be those of the noise that is made of them."""
    x = np.array([2**31 - 1, -(2**31), 5], np.int32)
    for result, expected in (
        (BoundedArray(x) + 1, x + np.int32(1)),
        (BoundedArray(x) - BoundedArray(x[::-1]), x - x[::-1]),
        (BoundedArray(x) * 3, x * np.int32(3)),
    ):
        np.testing.assert_array_equal(result.value, expected)
        assert result.dtype == np.int32
        assert not result.error.any()


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_denormal_numbers_may_count_as_zero(dtype):
    """CUDA, as CuPy compiles for it, and XLA take them for 0: at a kink they are in doubt."""
    tiny = np.finfo(dtype).smallest_normal
    x = np.array([tiny / 2, -tiny / 2, 0.0, tiny, 1.0], dtype)
    given = BoundedArray.from_input(x)
    np.testing.assert_array_equal(given.value, x)
    np.testing.assert_array_equal(given.error, [tiny / 2, tiny / 2, 0, 0, 0])
    np.testing.assert_array_equal((given > 0).error, [1, 1, 0, 0, 0])
    np.testing.assert_array_equal((given < 0).error, [1, 1, 0, 0, 0])
