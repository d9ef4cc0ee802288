"""The truth about a step: of exact numbers, which are no library's; what conspires, and who is to blame."""

import numpy as np
import pytest
from conftest import spare
from faulty import Faulty, fewer_bits, sum_in_order

from portnn import (
    ArgumentError,
    BackendUnavailableError,
    Dense,
    NeuralNetwork,
    Standardize,
    Unstandardize,
    compare,
    get_backend,
)
from portnn.equivalence import oracle
from portnn.equivalence.conformance import FUNCTIONS
from portnn.equivalence.networks import built_in, sample
from portnn.equivalence.report import Measurement
from portnn.numerics.bounds import BoundedArray, BoundingNamespace
from portnn.numerics.mpmath_namespace import MpmathNamespace

RNG = np.random.default_rng(0)
OTHER = "array_api_strict"


def classifier(dtype="float32", inputs=20):
    return NeuralNetwork(
        inputs, Dense(32), "relu", 5, output="softmax", loss="cross_entropy", seed=0, dtype=dtype, backend="numpy"
    )


def equal_rows(rows=1024):
    return np.repeat(RNG.standard_normal((1, 20)), rows, axis=0), np.full(rows, 2)


# ---- the arbiter


@pytest.mark.parametrize("name", FUNCTIONS)
def test_exact_numbers_are_what_numpy_rounds(name):
    """Within the bound of the operation, from the other side: the bound holds NumPy, so NumPy holds the arbiter."""
    pytest.importorskip("mpmath")
    import array_api_compat.numpy as xp

    a, b = RNG.uniform(0.5, 2, (2, 5, 5))
    arbiter, bounding = MpmathNamespace("float64"), BoundingNamespace()
    found = FUNCTIONS[name](arbiter, arbiter.exact(a), arbiter.exact(b))
    bound = FUNCTIONS[name](bounding, *(BoundedArray(v, 0.0, "float64") for v in (a, b)))
    rounded = FUNCTIONS[name](xp, a, b)
    distance = np.asarray(abs(found - rounded.astype(object)), object).astype(float)
    assert found.dtype == object
    assert distance.shape == bound.shape
    assert np.all(distance <= bound.error)


def test_exact_numbers_have_fifty_digits():
    pytest.importorskip("mpmath")
    xp = MpmathNamespace("float64")
    third = xp.exact(np.array([1.0])) / xp.exact(np.array([3.0]))
    assert str(third[0]).startswith("0." + "3" * 45)
    tiny = xp.sum(xp.exact(np.array([1e20, 1.0, -1e20])))
    assert float(tiny) == 1.0
    assert xp.exact(np.arange(3)).dtype.kind == "i"
    with pytest.raises(AttributeError, match=r"mpmath: xp.sin is not a function that layers may use"):
        xp.sin(third)


BUILT_IN = {"float32": ("the", "activations selu", "an emb"), "float64": ("activations ident", "batch", "a table")}


@pytest.mark.exhaustive
@pytest.mark.parametrize("dtype", BUILT_IN)
def test_built_in_networks_are_near_exact_numbers(dtype):
    """Every library, NumPy too, whose own results are the truth nowhere."""
    pytest.importorskip("mpmath")
    pytest.importorskip("array_api_strict")
    for title, net in built_in(dtype):
        if title.startswith(BUILT_IN[dtype]):
            report = compare(net, *sample(net, 8), backends=[OTHER], steps=1, batch_size=8, against="exact")
            assert report.holds, f"{title}\n{report}"
            assert report.judged_by == "numbers of 50 digits"
            assert {p.backend for p in report.pieces} == set(report.backends)
            assert max(p.share for p in report.pieces if p.backend == "numpy:cpu") > 0.1


def test_a_distance_from_an_exact_number_is_less_than_an_ulp():
    """One third in float64 is a third of an ulp off; the nearest float64 is not the truth."""
    mpmath = pytest.importorskip("mpmath")
    with mpmath.workdps(50):
        value, rest = oracle._in_two(np.array([mpmath.mpf(1) / 3, mpmath.inf, mpmath.nan], object))
    got, ulp = np.array([1 / 3, np.inf, np.nan]), np.spacing(1 / 3)
    limit = np.array([ulp / 2, 0.0, 0.0])
    piece = Measurement.measured(
        "numpy:cpu", 1, "loss", "loss", got, got, oracle.Reference(value, rest, limit, 2 * limit)
    )
    assert (piece.ulps, piece.share, piece.share_of_worst_case) == pytest.approx((1 / 3, 2 / 3, 1 / 3), rel=1e-12)
    assert list(rest[1:]) == [0.0, 0.0]


# ---- what conspires, and what is broken


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_equal_rows_are_no_librarys_fault(other, dtype, monkeypatch):
    """1,024 equal float32 numbers, added in order, are 2 to 5 times the bound off: said of who adds so, and no other.

    How far a library's own sum is off, NumPy's too, depends on the processor.
    """
    if dtype == "float64":
        spare(other, "float32 is enough")
    adapter = get_backend("numpy")
    monkeypatch.setattr(adapter, "xp", Faulty(adapter.xp, sum=sum_in_order))
    report = compare(classifier(dtype), *equal_rows(), backends=[other], steps=1, batch_size=1024)
    assert report.holds, str(report)
    suspects = [piece for piece in report.pieces if piece.share > 1]
    assert all(piece.conspires and piece.share_of_worst_case <= 1 for piece in suspects)
    if dtype == "float32":
        mine = {(piece.place, piece.what): piece.share for piece in suspects if piece.backend == "numpy:cpu"}
        assert min(mine["1 Dense", "db"], mine["3 Dense", "db"]) > 1.5  # not by a hair
        first, *_ = report.verdict().splitlines()
        assert "numpy:cpu: every bound holds" in first
        conspiring = first.partition("; data whose rounding errors conspire in ")[2].split("; ")
        assert {"3 Dense, db", "1 Dense, db"} <= set(conspiring)


@pytest.mark.exhaustive
@pytest.mark.parametrize("bits", [10, 7])
@pytest.mark.parametrize("k", [784, 4096])
def test_fewer_bits_are_broken_on_equal_rows_too(k, bits, monkeypatch):
    pytest.importorskip("array_api_strict")
    adapter = get_backend(OTHER)
    monkeypatch.setattr(adapter, "xp", Faulty(adapter.xp, **fewer_bits(adapter.xp, bits)))
    net, x = classifier(inputs=k), np.repeat(RNG.standard_normal((1, k)), 64, axis=0)
    report = compare(net, x, np.full(64, 2), backends=[OTHER], steps=1, batch_size=64)
    assert not report.holds
    assert report.broken[0].place == "1 Dense"
    assert {piece.backend for piece in report.broken} == {"array_api_strict:CPU_DEVICE"}


def test_numpy_is_judged_as_all_others(monkeypatch):
    """A fault of NumPy's own is NumPy's, and no other library is blamed for being right."""
    pytest.importorskip("array_api_strict")
    adapter = get_backend("numpy")
    xp = adapter.xp
    monkeypatch.setattr(adapter, "xp", Faulty(xp, tanh=lambda x: xp.tanh(x) * 1.0001))
    net = NeuralNetwork(4, 6, "tanh", 2, seed=0, backend="numpy")
    report = compare(net, RNG.standard_normal((20, 4)), RNG.standard_normal((20, 2)), backends=[OTHER], steps=1)
    assert {piece.backend for piece in report.broken} == {"numpy:cpu"}
    assert report.verdict().startswith("numpy:cpu: BROKEN first at step 1, 2 Activation, output")


def test_what_is_beyond_the_worst_case_never_conspires(monkeypatch):
    """Even if it holds on drawn numbers: a sum that is wrong for nearly equal numbers alone."""
    pytest.importorskip("array_api_strict")
    adapter = get_backend(OTHER)
    xp = adapter.xp

    def total(x, **options):
        host = np.asarray(x)  # Products of equal rows may differ in their last bits.
        return xp.sum(x, **options) * (1.001 if host.ndim == 2 and np.allclose(host, host[:1], 1e-3, 0.0) else 1.0)

    monkeypatch.setattr(adapter, "xp", Faulty(xp, sum=total))
    report = compare(classifier(), *equal_rows(64), backends=[OTHER], steps=1, batch_size=64)
    assert {(p.place, p.what) for p in report.broken} >= {("1 Dense", "db"), ("3 Dense", "db")}


def test_drawn_numbers_keep_size_sign_and_zeros():
    state = oracle.State(np.array([1.0, -2.0, 0.0], np.float32), np.array([3.0], np.float32), ())
    given = {("1 Dense", "output"): np.array([[5.0, -5.0]], np.float32)}
    start = oracle.StepInputs(state, (np.ones((4, 2), np.float32), np.arange(4), 0.25), given)
    moved = oracle.resample(start, 0)
    assert np.array_equal(moved.batch[1], np.arange(4))
    assert moved.batch[2] == 0.25
    pairs = [(state.parameters, moved.state.parameters), (start.batch[0], moved.batch[0])]
    for before, after in [*pairs, (given["1 Dense", "output"], moved.inputs["1 Dense", "output"])]:
        assert after.dtype == np.float32
        assert np.array_equal(np.sign(after), np.sign(before))
        assert np.all((np.abs(after) >= 0.49 * np.abs(before)) & (np.abs(after) <= 2.01 * np.abs(before)))
        assert len(np.unique(after[after != 0])) == np.count_nonzero(before)
    assert not np.array_equal(oracle.resample(start, 1).batch[0], moved.batch[0])


def test_three_hundred_steps_in_float64_end_alike(other):
    """Of a network without kinks: each array, by its norm."""
    x = np.random.default_rng(0).standard_normal((120, 13))
    y = np.stack([np.sin(x[:, 0]), x[:, 1] * x[:, 2]], axis=1)
    layers = 13, Standardize(), 32, 32, 2, Unstandardize()
    ends = []
    for backend in ("numpy", other):
        net = NeuralNetwork(*layers, activation="tanh", seed=0, dtype="float64", backend=backend)
        net.fit(x, y, epochs=75, batch_size=30)
        assert net.step_count == 300
        ends.append(net.to("numpy").parameters)
    for name, value in ends[0].items():
        assert np.linalg.norm(ends[1][name] - value) <= 1e-12 * np.linalg.norm(value)


# ---- what it is judged by


def test_by_what_it_is_judged(monkeypatch):
    pytest.importorskip("array_api_strict")
    x, y = RNG.standard_normal((8, 20)), np.arange(8) % 5
    judged = {}
    for dtype in ("float32", "float64"):
        for against in ("auto", "exact"):
            report = compare(classifier(dtype), x, y, backends=[OTHER], steps=1, against=against)
            judged[dtype, against] = report.judged_by
            assert report.to_dict()["judged_by"] == report.judged_by
    exact = "numbers of 50 digits"
    assert list(judged.values()) == ["float64", exact, exact, exact]
    with pytest.raises(ArgumentError, match="against: expected one of auto, exact; got 'numpy'"):
        compare(classifier(), x, y, backends=[OTHER], against="numpy")
    monkeypatch.setitem(__import__("sys").modules, "mpmath", None)
    report = compare(classifier("float64"), x, y, backends=[OTHER], steps=1)
    assert report.holds
    assert report.judged_by == "NumPy's float64"
    assert "numpy:cpu: stands for the truth: too large for exact numbers" in report.verdict()
    with pytest.raises(BackendUnavailableError, match=r"against: mpmath is not installed; pip install .portnn"):
        compare(classifier(), x, y, backends=[OTHER], against="exact")
