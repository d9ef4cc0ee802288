"""Randomness that is equal on every backend, in two kinds.

Initial weights, shuffles and splits are drawn on the host by NumPy's generator. What a layer needs during a step is
counted, not drawn: a hash of (key, layer, row, column) in int32 operations, so that one key gives every array library
the same bits. Each use has a stream of its own, keyed by (seed, stream, counters): no use shifts another, and
a resumed run needs nothing but its counters.
"""

from typing import TypeAlias

import numpy as np

from portnn import hashing
from portnn.types import Array, ForwardContext, Namespace

WEIGHTS, SHUFFLE, SPLIT, STEP = range(4)

Key: TypeAlias = tuple[int, int]
"""Two words of 32 bits, as signed integers: what a step's random bits depend on beside their position."""


def _hashed(*words: int, size: int) -> bytes:
    """Return BLAKE2b of (seed, stream, counters): no two streams meet, nor one with a generator of the user's own."""
    return hashing.blake2b(repr(words).encode(), size)


def draw_seed() -> int:
    """Return a fresh seed for a network that was given none."""
    return int(np.random.SeedSequence().generate_state(1)[0])


def generator(seed: int, stream: int, *counters: int) -> "np.random.Generator":
    """Return the generator of one host stream (WEIGHTS, SHUFFLE, SPLIT) at the given counters."""
    return np.random.default_rng(int.from_bytes(_hashed(seed, stream, *counters, size=16), "little"))


def split(rows: int, fraction: float, seed: int, labels: np.ndarray | None = None) -> tuple[np.ndarray, np.ndarray]:
    """Split ``range(rows)`` at random: (kept, held out), each sorted; at least one row on either side.

    With ``labels``, (rows,), each class gives its share, and keeps a row.
    """
    held = min(max(round(rows * fraction), 1), rows - 1)
    order = generator(seed, SPLIT).permutation(rows)
    out = np.arange(rows) < held
    if labels is not None:
        _, classes, counts = np.unique(labels[order], return_inverse=True, return_counts=True)
        shares = counts * (held / rows)
        take = np.minimum(np.floor(shares).astype(int), counts - 1)
        for label in np.argsort(take - shares, kind="stable"):  # the largest remainders give one more
            take[label] += take.sum() < held and take[label] < counts[label] - 1
        by_class = np.argsort(classes, kind="stable")
        rank = np.empty(rows, int)
        rank[by_class] = np.arange(rows) - np.repeat(np.cumsum(counts) - counts, counts)
        if take.any():
            out = rank < take[classes]
    return np.sort(order[~out]), np.sort(order[out])


def key(seed: int, *counters: int) -> Key:
    """Return the key of one training step."""
    digest = _hashed(seed, STEP, *counters, size=8)
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

    Rows are counted in the global batch: its parts, of whatever size, get the bits of the whole.
    Rows and columns are hashed on their own, each with a word of the key, so that only one hash per element is left.
    """
    first, second = context.key
    rows = _mix(_mix(xp.arange(context.row, context.row + shape[0], dtype=xp.int32)) ^ first)
    columns = _mix(_mix(_mix(xp.arange(shape[1], dtype=xp.int32)) ^ context.layer) ^ second)
    return _mix(xp.expand_dims(rows, axis=1) + columns)


def normal(xp: Namespace, context: ForwardContext, shape: tuple[int, int], dtype: object) -> Array:
    """Return normal numbers of mean 0 and variance 1: multiples of 2^-13 up to 9, the same on every library.

    63 coins and three uniform numbers have variance 16 and lack an excess of -7.9/256, which the expansion of Cornish
    and Fisher (1938) gives back. All of it is in whole numbers: no library has a logarithm of its own in it. Their
    distribution function is within 3e-5 of the normal one (tests/nn/test_random.py sums it up).
    """
    rows, columns = shape
    words = bits(xp, context, (rows, 3 * columns))
    one, two, three = (words[:, i * columns : (i + 1) * columns] for i in range(3))
    coins = _ones(one) + _ones(two & 0x7FFFFFFF)
    coins = (((coins & 0x0F0F0F0F) + ((coins >> 4) & 0x0F0F0F0F)) * 0x01010101) >> 24
    parts = (three & 1023) + ((three >> 10) & 1023) + ((three >> 20) & 1023)
    return xp.astype(_corrected((coins * 1024 + parts) * 2 - 67581), dtype) * 2.0**-13


def _ones(x: Array) -> Array:
    """Return how many of each four bits are 1, in those four bits."""
    x = x - ((x >> 1) & 0x55555555)
    return (x & 0x33333333) + ((x >> 2) & 0x33333333)


def _corrected(z: Array) -> Array:
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
