"""Libraries that compute wrongly, with fewer bits or in a stated order, over one that does not."""

import numpy as np


class Faulty:
    """A namespace with one function changed."""

    def __init__(self, xp, **changes):
        self._xp = xp
        self.__dict__.update(changes)

    def __getattr__(self, name):
        return getattr(self._xp, name)


def kept_bits(array, bits):
    """Return float32 numbers rounded to that many bits of mantissa: 10 for TF32, 7 for bfloat16."""
    words, drop = np.asarray(array, np.float32).view(np.uint32), 23 - bits
    return ((words + (1 << (drop - 1))) & np.uint32(2**32 - (1 << drop))).view(np.float32)


def fewer_bits(xp, bits):
    """Return the change that makes products those of operands of so many bits."""
    return {"matmul": lambda a, b: xp.asarray(kept_bits(a, bits) @ kept_bits(b, bits))}


def sum_in_order(x, *, axis=None, keepdims=False):
    """Return a sum that adds one number after the other, in the dtype of x: the same errors on any processor."""
    x, axis = (np.reshape(x, -1), 0) if axis is None else (np.asarray(x), axis)
    total = np.take(np.add.accumulate(x, axis=axis), -1, axis=axis)
    return np.expand_dims(total, axis) if keepdims else total
