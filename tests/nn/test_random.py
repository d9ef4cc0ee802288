"""One seed: the same start, batches and masks, bit for bit, on every backend; and they look random."""

import itertools
import math
from typing import Any

import numpy as np
import pytest

from portnn import ArgumentError, Dropout, NeuralNetwork, get_backend
from portnn.jit.cuda.rows import Rows
from portnn.model.runtime import Runtime
from portnn.nn import random
from portnn.types import ForwardContext

DTYPES = ["float32", "float64"]


def mixed(x: int) -> int:
    """The hash in Python's integers, modulo 2^32."""
    x ^= x >> 16
    x = x * 0x21F0AAAD % 2**32
    x ^= x >> 15
    x = x * 0x735A2D97 % 2**32
    return x ^ (x >> 15)


def drawn(backend, function, key, layer, *arguments, row=0):
    adapter = get_backend(backend)
    with adapter.scope():
        return adapter.to_numpy(function(adapter.xp, ForwardContext(key=key, layer=layer, row=row), *arguments))


@pytest.mark.parametrize("key", [(0, 0), (-1, 2**31 - 1), random.key(7, 3)])
def test_known_answers(backend, key):
    got = drawn(backend, random.bits, key, 5, (37, 23))
    k0, k1 = (word % 2**32 for word in key)
    expected = [
        [mixed((mixed(mixed(i) ^ k0) + mixed(mixed(mixed(j) ^ 5) ^ k1)) % 2**32) for j in range(23)] for i in range(37)
    ]
    assert got.dtype == np.int32
    np.testing.assert_array_equal(got.view(np.uint32), np.array(expected, np.uint32))


def test_keys_stay_as_they_are():
    """Changing them would change every trained network: the values of the first release."""
    assert random.key(0, 0) == (-162498603, -622548954)
    assert random.key(2**70, 10**6) == random.key(2**70, 10**6) != random.key(2**70, 10**6 + 1)


def test_host_streams_meet_nobody():
    """Neither a generator of the user's own, nor another seed's, nor another use's."""
    streams = [
        random.generator(seed, stream, *counters).random(4).tobytes()
        for seed in (0, 1, 2**32, 2**32 + 1, 2**64)
        for stream in (random.WEIGHTS, random.SHUFFLE, random.SPLIT)
        for counters in ((), (0,), (1,), (0, 0), (2**32,))
    ]
    own = (0, 1, 2, 2**32, [0, 0], [0, 1], [1, 0], [0, 1, 0], [0, 1, 1], [0, 2])
    assert len(set(streams)) == len(streams)
    assert not {np.random.default_rng(seed).random(4).tobytes() for seed in own} & set(streams)
    net = NeuralNetwork(3, 4, 1, initializer="uniform", seed=7)
    assert not np.isin(net.parameters["W1"], np.random.default_rng(7).random(1000).astype(np.float32)).any()


def test_starts_and_shuffles_stay_as_they_are():
    """Changing them would change every network that is trained anew: the values of the first release."""
    net = NeuralNetwork(2, 2, initializer="uniform", seed=7, dtype="float64")
    np.testing.assert_array_equal(net.parameters["W1"] * 2.0**24, KNOWN_START)
    assert random.generator(7, random.SHUFFLE, 3).permutation(8).tolist() == KNOWN_ORDER
    assert [part.tolist() for part in random.split(8, 0.25, 7)] == KNOWN_SPLIT


@pytest.mark.parametrize(
    ("counts", "share", "expected"),
    [
        ((40, 40, 20), 0.25, (10, 10, 5)),
        ((50, 3, 3), 0.2, (10, 1, 0)),  # 10, 0.6 and 0.6 of 11: the first of the largest remainders gives one more
        ((97, 3), 0.5, (49, 1)),
        ((9, 1), 0.5, (5, 0)),  # the only row of a class is trained on
        ((2, 2), 0.01, (1, 0)),
        ((1, 1, 1, 1), 0.5, None),  # no class can spare one: at random
    ],
)
def test_a_split_of_labels_takes_its_share_of_each_class(counts, share, expected):
    labels = np.random.default_rng(1).permutation(np.repeat(np.arange(len(counts)) * 3, counts))
    kept, held = random.split(len(labels), share, 5, labels)
    assert sorted([*kept, *held]) == list(range(len(labels)))
    assert [*kept] == sorted(kept)
    if expected is None:
        assert len(held) == 2
        return
    assert np.bincount(labels[held] // 3, minlength=len(counts)).tolist() == list(expected)
    other = random.split(len(labels), share, 6, labels)[1]
    assert len(labels) < 10 or held.tolist() != other.tolist()
    assert held.tolist() == random.split(len(labels), share, 5, labels * 2 + 1)[1].tolist()


KNOWN_START = [[718425, 3386284], [7335129, 10206084]]
KNOWN_ORDER = [3, 0, 6, 1, 5, 2, 7, 4]
KNOWN_SPLIT = [[0, 1, 2, 4, 6, 7], [3, 5]]


def known_normal(key, rows, columns):
    """63 coins and three uniform numbers, in Python's integers."""
    words = drawn("numpy", random.bits, key, 2, (rows, 3 * columns)).view(np.uint32).tolist()
    found = np.empty((rows, columns))
    for i, j in np.ndindex(rows, columns):
        one, two, three = (words[i][j + k * columns] for k in range(3))
        total = (one.bit_count() + (two % 2**31).bit_count()) * 1024
        z = 2 * (total + three % 1024 + three // 1024 % 1024 + three // 2**20 % 1024) - 67581
        coarse = z // 16
        cube = (coarse * coarse // 64 - 3 * 4096) * coarse
        found[i, j] = (z + (cube // 2**14 * 169 + 1024) // 2**11) / 2**13
    return found


@pytest.mark.parametrize("dtype", DTYPES)
def test_normal_numbers_are_the_same_everywhere(backend, dtype):
    """Operation by operation, and as one compiled function."""
    adapter = get_backend(backend)
    expected = known_normal((1, 2), 37, 23)

    def noise(_: int, x: Any) -> Any:
        return x + random.normal(adapter.xp, ForwardContext(key=(1, 2), layer=2), (37, 23), x.dtype)

    got = drawn(backend, random.normal, (1, 2), 2, (37, 23), getattr(adapter.xp, dtype))
    with adapter.scope():
        compiled = adapter.to_numpy(adapter.compile(noise)(0, adapter.asarray(np.zeros((37, 23), dtype))))
    assert got.dtype == compiled.dtype == dtype
    np.testing.assert_array_equal(got, expected)
    np.testing.assert_array_equal(compiled, expected)


def test_the_distribution_of_normal_numbers():
    """All of it, summed up: the chances of 63 coins and three uniform numbers."""
    third = np.full(1024, 2.0**-10)
    coins = np.zeros(63 * 1024 + 1)
    coins[::1024] = [math.comb(63, k) / 2**63 for k in range(64)]
    chances = np.convolve(coins, np.convolve(np.convolve(third, third), third))
    values = random._correct(np.arange(-67581, 67582, 2, dtype=np.int32)) * 2.0**-13
    assert values.shape == chances.shape
    assert (np.diff(values) > 0).all()
    mean, variance, skew, fourth = (float(chances @ values**k) for k in (1, 2, 3, 4))
    assert abs(mean) < 1e-5
    assert abs(variance - 1) < 1e-4
    assert abs(skew) < 1e-4
    assert abs(fourth - 3) < 2e-3  # -0.03 without the correction
    expected = np.array([0.5 * math.erfc(-v / math.sqrt(2)) for v in values])
    assert np.abs(np.cumsum(chances) - chances / 2 - expected).max() < 3e-5
    far = chances[np.abs(values) > 4].sum()
    assert 0.95 < far / math.erfc(4 / math.sqrt(2)) < 1


def test_normal_numbers():
    """Their distribution function within the bound of Dvoretzky, Kiefer and Wolfowitz at one in a thousand."""
    values = drawn("numpy", random.normal, random.key(0, 0), 0, (200, 100), np.float64)
    expected = np.array([0.5 * math.erfc(-v / math.sqrt(2)) for v in np.sort(values.ravel())])
    steps = np.arange(values.size + 1) / values.size
    distance = max(np.abs(expected - steps[1:]).max(), np.abs(expected - steps[:-1]).max())
    assert distance < math.sqrt(math.log(2 / 0.001) / (2 * values.size))
    # Neither rows nor columns repeat each other: correlations of 100 and of 200 pairs, five standard errors.
    assert np.abs(np.corrcoef(values) - np.eye(200)).max() < 5 / math.sqrt(100)
    assert np.abs(np.corrcoef(values.T) - np.eye(100)).max() < 5 / math.sqrt(200)


def test_parts_of_a_batch_have_the_bits_of_the_whole(backend):
    whole = drawn(backend, random.bits, (3, 4), 1, (23, 5))
    for parts in (2, 3, 7):
        edges = [round(23 * i / parts) for i in range(parts + 1)]
        pieces = [
            drawn(backend, random.bits, (3, 4), 1, (stop - start, 5), row=start)
            for start, stop in itertools.pairwise(edges)
        ]
        np.testing.assert_array_equal(np.concatenate(pieces), whole)


def test_bits_look_random():
    """Each statistic within five standard errors of its value for independent fair bits."""
    bits = drawn("numpy", random.bits, random.key(0, 0), 0, (400, 300))
    signs = np.array([((bits >> i) & 1) * 2.0 - 1 for i in range(32)])
    n = bits.size
    assert np.abs(signs.mean(axis=(1, 2))).max() < 5 / np.sqrt(n)
    for axis in (1, 2):  # neighbouring rows, neighbouring columns
        shifted = np.roll(signs, 1, axis=axis)
        assert np.abs((signs * shifted).mean(axis=(1, 2))).max() < 5 / np.sqrt(n)
    others = [
        drawn("numpy", random.bits, random.key(seed, step), layer, (400, 300))
        for seed, step, layer in [(0, 1, 0), (1, 0, 0), (0, 0, 1)]
    ]
    for other in others:
        agreement = [(((bits ^ other) >> i) & 1).mean() for i in range(32)]
        assert np.abs(np.array(agreement) - 0.5).max() < 5 * 0.5 / np.sqrt(n)
    counts = np.bincount((bits.ravel() >> 24) & 255, minlength=256)
    # Chi-squared of 255 degrees of freedom: mean 255, standard deviation sqrt(510).
    assert abs(((counts - n / 256) ** 2 / (n / 256)).sum() - 255) < 5 * np.sqrt(510)


@pytest.mark.parametrize("probability", [1e-3, 0.2, 0.5, 0.9])
def test_bernoulli(probability):
    mask = drawn("numpy", random.bernoulli, random.key(0, 0), 1, (1000, 500), probability, np.float32)
    assert set(np.unique(mask)) == {0, 1}
    error = np.sqrt(probability * (1 - probability) / mask.size)
    assert abs(mask.mean(dtype=np.float64) - probability) < 5 * error


@pytest.mark.parametrize("dtype", DTYPES)
def test_masks_are_equal(backend, dtype):
    def dropped(xp, mode, x):
        return Dropout(0.3).forward(xp, {}, x, mode._replace(training=True)).output

    x = np.linspace(1, 2, 60).reshape(12, 5)
    one, other = (
        drawn(name, dropped, random.key(5, 9), 2, get_backend(name).asarray(x, dtype)) for name in ("numpy", backend)
    )
    np.testing.assert_array_equal(one, other)
    assert 0 < np.mean(one == 0) < 1
    np.testing.assert_allclose(one[one != 0], x[one != 0] / 0.7, rtol=1e-6)


@pytest.mark.parametrize("dtype", DTYPES)
def test_start_and_batches_are_equal(backend, dtype, monkeypatch):
    seen = []

    def recorded(runtime, batch):
        # CuPy's steps take the rows themselves.
        arrays = [part.copied(runtime.backend.xp) if isinstance(part, Rows) else part for part in batch[:2]]
        seen.append([runtime.backend.to_numpy(array) for array in arrays])
        return runtime.backend.xp.zeros(())

    monkeypatch.setattr(Runtime, "step", recorded)
    x, y = np.random.default_rng(0).random((2, 50, 3))
    starts, batches = [], []
    for name in ("numpy", backend):
        net = NeuralNetwork(3, 4, 3, backend=name, dtype=dtype, seed=11)
        starts.append({k: get_backend(name).to_numpy(v) for k, v in net.parameters.items()})
        seen.clear()
        net.fit(x, y, epochs=3, batch_size=16, validation=0.2)
        batches.append(list(seen))
    for k, value in starts[0].items():
        np.testing.assert_array_equal(starts[1][k], value)
    assert len(batches[0]) == len(batches[1]) == 9
    for one, other in zip(*batches, strict=True):
        for a, b in zip(one, other, strict=True):
            assert a.dtype == b.dtype == dtype
            np.testing.assert_array_equal(a, b)
    assert not np.array_equal(batches[0][0][0], batches[0][3][0])  # another order in another epoch


def test_dropout_in_training_and_prediction(backend):
    x, y = np.random.default_rng(0).random((2, 32, 6))
    net = NeuralNetwork(6, 40, Dropout(0.5), 6, backend=backend, seed=0)
    plain = NeuralNetwork(6, 40, 6, backend=backend, seed=0)
    np.testing.assert_array_equal(net.predict(x), plain.predict(x))  # drops nothing
    first, again = (net.gradients(x, y)[1]["W1"] for _ in range(2))
    host = get_backend(backend).to_numpy
    np.testing.assert_array_equal(host(first), host(again))  # the next step's masks, and no state is changed
    net.step(x, y)
    assert np.mean(host(net.gradients(x, y)[1]["W1"]) == host(first)) < 0.5
    assert np.all(np.isfinite(net.fit(x, y, epochs=3).loss))


def test_each_layer_and_each_step_has_masks_of_its_own():
    """Two layers of one shape; and a learning rate of 0, so that nothing but the masks changes."""
    net = NeuralNetwork(400, Dropout(0.5), Dropout(0.5), 1, backend="numpy", learning_rate=0.0, seed=0)
    x, y = np.eye(400), np.ones((400, 1))
    seen = []
    for _ in range(4):
        kept = net.gradients(x, y)[1]["W1"] != 0
        # An element passes both layers with probability 1/4, one with 1/2: five standard errors of 400 draws.
        assert abs(kept.mean() - 0.25) < 5 * np.sqrt(0.25 * 0.75 / 400)
        seen.append(kept.tobytes())
        net.step(x, y)
    assert len(set(seen)) == 4


def test_dropout_trains_alike_on_every_backend(backend):
    """Were a mask to differ anywhere, the ends would differ by far more than rounding."""
    x, y = np.random.default_rng(0).random((2, 64, 5))
    ends = []
    for name in ("numpy", backend):
        net = NeuralNetwork(5, 30, "tanh", Dropout(0.3), 5, backend=name, dtype="float64", seed=3)
        net.fit(x, y, epochs=2, batch_size=32)
        ends.append(net.predict(x))
    np.testing.assert_allclose(ends[0], ends[1], rtol=0, atol=1e-12)


def test_rate():
    for rate in (-0.1, 1.0, "0.5"):
        with pytest.raises(ArgumentError, match=r"rate: expected a number in \[0, 1\)"):
            Dropout(rate)
    x, y = np.ones((4, 2)), np.ones((4, 1))
    one, other = NeuralNetwork(2, 3, 1, seed=0), NeuralNetwork(2, 3, Dropout(0.0), 1, seed=0)
    assert one.fit(x, y).loss == other.fit(x, y).loss


def test_each_class_keeps_a_row_whatever_share_is_held_out():
    from portnn.nn.random import split

    for counts in ((2, 2, 2), (1, 2, 5), (3, 1, 1), (1, 1, 9), (2, 3, 4, 5)):
        labels = np.repeat(np.arange(len(counts)), counts)
        for fraction in (0.1, 0.3, 0.5, 0.67, 0.8, 0.95):
            for seed in range(5):
                kept, held = split(len(labels), fraction, seed, labels)
                assert sorted([*kept, *held]) == list(range(len(labels)))
                assert set(labels[kept]) == set(labels)
