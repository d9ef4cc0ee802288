"""Random numbers that are equal on every backend, of two kinds.

Initial weights, shuffles and splits are drawn on the host by NumPy's generator. A layer's random bits in a step are
counter-based: a hash of (key, layer, row, column) in int32 operations, so that every array library gives the same bits
for a key. Each use has its own stream, keyed by (seed, stream, counters): no use shifts another, and a resumed run
needs only its counters.
"""

from typing import TypeAlias

import numpy as np

from portnn import hashing
from portnn.types import Array, ForwardContext, Namespace

WEIGHTS, SHUFFLE, SPLIT, STEP = range(4)

Key: TypeAlias = tuple[int, int]
"""Two 32-bit words, as signed integers: with its position they determine each random bit of a step."""


def _hash(*words: int, size: int) -> bytes:
    """Return BLAKE2b of (seed, stream, counters): no two streams coincide, nor one with a user's own generator."""
    return hashing.blake2b(repr(words).encode(), size)


def draw_seed() -> int:
    """Return a new seed for a network without one."""
    return int(np.random.SeedSequence().generate_state(1)[0])


def generator(seed: int, stream: int, *counters: int) -> "np.random.Generator":
    """Return the generator of one host stream (WEIGHTS, SHUFFLE, SPLIT) at the given counters."""
    return np.random.default_rng(int.from_bytes(_hash(seed, stream, *counters, size=16), "little"))


def split(rows: int, fraction: float, seed: int, labels: np.ndarray | None = None) -> tuple[np.ndarray, np.ndarray]:
    """Split ``range(rows)`` at random into (train, held out), each sorted, with at least one row each.

    With ``labels``, (rows,), the split is stratified, and each class keeps a training row.
    """
    n_held_out = min(max(round(rows * fraction), 1), rows - 1)
    order = generator(seed, SPLIT).permutation(rows)
    held_out = np.arange(rows) < n_held_out
    if labels is not None:
        _, classes, counts = np.unique(labels[order], return_inverse=True, return_counts=True)
        exact_shares = counts * (n_held_out / rows)
        n_of_class = np.minimum(np.floor(exact_shares).astype(int), counts - 1)
        # The classes with the largest remainders give one more.
        for label in np.argsort(n_of_class - exact_shares, kind="stable"):
            n_of_class[label] += n_of_class.sum() < n_held_out and n_of_class[label] < counts[label] - 1
        by_class = np.argsort(classes, kind="stable")
        rank = np.empty(rows, int)
        rank[by_class] = np.arange(rows) - np.repeat(np.cumsum(counts) - counts, counts)
        if n_of_class.any():
            held_out = rank < n_of_class[classes]
    return np.sort(order[~held_out]), np.sort(order[held_out])


def key(seed: int, *counters: int) -> Key:
    """Return the key of one training step."""
    digest = _hash(seed, STEP, *counters, size=8)
    return int.from_bytes(digest[:4], "little", signed=True), int.from_bytes(digest[4:], "little", signed=True)


def _mix(x: Array) -> Array:
    """Scramble 32-bit words, (any shape): two rounds of xorshift and multiply, in int32 with wraparound.

    Constants found by Wellons' and TheIronBorn's search for the least bias (hash-prospector). ``>>`` on int32
    brings the sign in from the left: the masks make it the logical shift.
    """
    x = (x ^ ((x >> 16) & 0xFFFF)) * 0x21F0AAAD
    x = (x ^ ((x >> 15) & 0x1FFFF)) * 0x735A2D97
    return x ^ ((x >> 15) & 0x1FFFF)


def bits(xp: Namespace, context: ForwardContext, shape: tuple[int, int]) -> Array:
    """Return 32 random bits per element, int32, (rows, columns): a function of key, layer, row and column alone.

    Rows are numbered in the global batch: parts of any size get the bits of the whole. Rows and columns are hashed
    separately, each with a word of the key, so that each element needs only one more hash.
    """
    first, second = context.key
    rows = _mix(_mix(xp.arange(context.row, context.row + shape[0], dtype=xp.int32)) ^ first)
    columns = _mix(_mix(_mix(xp.arange(shape[1], dtype=xp.int32)) ^ context.layer) ^ second)
    return _mix(xp.expand_dims(rows, axis=1) + columns)


def normal(xp: Namespace, context: ForwardContext, shape: tuple[int, int], dtype: object) -> Array:
    """Return normal random numbers with mean 0 and variance 1: multiples of 2^-13 up to 9, the same on every library.

    The sum of 63 coins and three uniform numbers has variance 16 and lacks an excess of -7.9/256, which the expansion
    of Cornish and Fisher (1938) restores. All of it is in integers: no library's logarithm takes part. The distribution
    function is within 3e-5 of the normal one (tests/nn/test_random.py sums it up).
    """
    rows, columns = shape
    words = bits(xp, context, (rows, 3 * columns))
    first, second, third = (words[:, i * columns : (i + 1) * columns] for i in range(3))
    coins = _ones(first) + _ones(second & 0x7FFFFFFF)
    coins = (((coins & 0x0F0F0F0F) + ((coins >> 4) & 0x0F0F0F0F)) * 0x01010101) >> 24
    parts = (third & 1023) + ((third >> 10) & 1023) + ((third >> 20) & 1023)
    return xp.astype(_correct((coins * 1024 + parts) * 2 - 67581), dtype) * 2.0**-13


def _ones(x: Array) -> Array:
    """Return the number of 1 bits in each group of four bits, in the place of the group."""
    x = x - ((x >> 1) & 0x55555555)
    return (x & 0x33333333) + ((x >> 2) & 0x33333333)


def _correct(z: Array) -> Array:
    """Return z + (z³ - 3z) 7.9 / (24 · 256), of numbers in units of 2^-13; products stay below 2^31."""
    coarse = z >> 4  # in units of 2^-9
    cube = (((coarse * coarse) >> 6) - 3 * 4096) * coarse  # of 2^-21
    return z + (((cube >> 14) * 169 + 1024) >> 11)


def bernoulli(
    xp: Namespace, context: ForwardContext, shape: tuple[int, int], probability: float, dtype: object
) -> Array:
    """Return 1 with the given probability, in (0, 1) and rounded to a multiple of 2^-32, else 0."""
    threshold = min(max(round(probability * 2**32), 1), 2**32 - 1) - 2**31
    return xp.astype(bits(xp, context, shape) < threshold, dtype)
