"""Randomness that is equal on every backend: drawn on the host, from one seed, in separate streams.

Each use has a stream of its own, keyed by (seed, stream, counters), so that no use shifts another and a
resumed run needs nothing but its counters.
"""

import numpy as np

WEIGHTS, SHUFFLE, SPLIT = range(3)


def draw_seed() -> int:
    """Return a fresh seed for a network that was given none."""
    return int(np.random.SeedSequence().generate_state(1)[0])


def generator(seed: int, stream: int, *counters: int) -> "np.random.Generator":
    """Return the generator of one stream (WEIGHTS, SHUFFLE, SPLIT) at the given counters."""
    return np.random.default_rng([seed, stream, *counters])


def split(rows: int, fraction: float, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Split ``range(rows)`` at random: (kept, held out), each sorted; at least one row on either side."""
    held = min(max(round(rows * fraction), 1), rows - 1)
    order = generator(seed, SPLIT).permutation(rows)
    return np.sort(order[held:]), np.sort(order[:held])
