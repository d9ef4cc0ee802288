"""Functions of a user's own on every backend: within their bound, or so many ulps, and equal where they are whole."""

import array_api_compat
import numpy as np
import pytest
from faulty import Faulty, fewer_bits

from portnn import ArgumentError, get_backend
from portnn.equivalence import functions
from portnn.testing import assert_same_on_backends

RNG = np.random.default_rng(0)
A, B = RNG.standard_normal((40, 30)).astype(np.float32), RNG.standard_normal((30, 20)).astype(np.float32)
OTHER = "array_api_strict"


def softmax(z):
    xp = array_api_compat.array_namespace(z)
    e = xp.exp(z - xp.max(z, axis=1, keepdims=True))
    return e * (1.0 / xp.sum(e, axis=1, keepdims=True))


def layer(a, b):
    xp = array_api_compat.array_namespace(a, b)
    z = xp.matmul(a, b)
    return softmax(z), xp.sum(z, axis=0)


def spread(x):
    """Nothing that the core has a bound for."""
    xp = array_api_compat.array_namespace(x)
    return xp.std(x, axis=0)


def ranks(x):
    xp = array_api_compat.array_namespace(x)
    return xp.argsort(x, axis=1), x > 0


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_sound_functions_are_the_same(other, dtype):
    a, b = A.astype(dtype), B.astype(dtype)
    assert_same_on_backends(layer, a, b, backends=[other])
    assert_same_on_backends(spread, a, backends=[other])
    assert_same_on_backends(ranks, a, backends=[other])
    assert_same_on_backends(lambda x: x * 2, np.arange(5, dtype=np.int32), backends=[other])


def test_bounds_are_used_where_there_are_any():
    given = [A, B]
    bounds = functions._bounds(layer, given, [A, A])
    assert [each.shape for each in bounds] == [(40, 20), (20,)]
    assert functions._bounds(spread, [A], [A]) is None
    assert functions._bounds(lambda a, b: a, [A, B.astype(np.float64)], [A]) is None


@pytest.fixture
def strict(monkeypatch):
    pytest.importorskip(OTHER)
    adapter = get_backend(OTHER)

    def plant(function, results):
        """Let a library be handed another function's results."""
        monkeypatch.setattr(
            functions,
            "_results",
            lambda f, backend, given, before=functions._results: (
                results(before(f, backend, given)) if backend is adapter else before(f, backend, given)
            ),
        )

    return plant


WRONG = {
    "a little off": (lambda r: [r[0] * np.float32(1.0001), *r[1:]], "result 0: .* times as far from the true value"),
    "the other result": (lambda r: [r[0], r[1] * np.float32(1.001)], "result 1: .* times as far from the true value"),
    "another dtype": (
        lambda r: [r[0].astype(np.float64), *r[1:]],
        r"result 0: expected float32 .*; got float64",
    ),
    "another shape": (lambda r: [r[0][:1], *r[1:]], r"result 0: expected float32 \(40, 20\); got float32 \(1, 20\)"),
    "one result": (lambda r: r[:1], "expected 2 results; got 1"),
    "NaN": (lambda r: [r[0] * np.float32(np.nan), *r[1:]], "result 0: inf times as far"),
}


@pytest.mark.parametrize("name", WRONG)
def test_what_is_off_is_named(name, strict):
    results, message = WRONG[name]
    strict(layer, results)
    with pytest.raises(AssertionError, match=f"array_api_strict:CPU_DEVICE.*{message}"):
        assert_same_on_backends(layer, A, B, backends=[OTHER])


def test_without_a_bound_ulps_are_counted(strict):
    strict(spread, lambda r: [np.nextafter(r[0], np.float32(9)) for _ in range(1)])
    assert_same_on_backends(spread, A, backends=[OTHER])
    with pytest.raises(AssertionError, match=r"1 ulps from NumPy's, of 0.5 that are allowed"):
        assert_same_on_backends(spread, A, backends=[OTHER], ulps=0.5)


def test_whole_numbers_are_equal(strict):
    strict(ranks, lambda r: [r[0][:, ::-1], r[1]])
    with pytest.raises(AssertionError, match=r"result 0: \d+ elements are others than NumPy's"):
        assert_same_on_backends(ranks, A, backends=[OTHER])


def test_products_of_fewer_bits_are_seen(monkeypatch):
    pytest.importorskip(OTHER)
    adapter = get_backend(OTHER)
    short = fewer_bits(adapter.xp, 10)["matmul"]
    monkeypatch.setattr(array_api_compat, "array_namespace", _swapped(adapter, short))
    with pytest.raises(AssertionError, match="times as far from the true value"):
        assert_same_on_backends(layer, A, B, backends=[OTHER])


def _swapped(adapter, matmul, before=array_api_compat.array_namespace):
    return lambda *arrays: Faulty(before(*arrays), matmul=matmul) if adapter.owns(arrays[0]) else before(*arrays)


def test_bad_calls():
    with pytest.raises(ArgumentError, match="backends: expected another beside numpy"):
        assert_same_on_backends(softmax, A, backends=["numpy"])
