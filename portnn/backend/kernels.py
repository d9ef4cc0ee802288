"""Element-wise kernels over flat vectors: one for each parameter group, run in blocks that stay in a cache."""

from collections.abc import Callable, Sequence
from typing import Any, TypeAlias

from portnn.backend.precision import dtype_promotion_error
from portnn.jit.graph import TracedArray
from portnn.types import Array, Namespace

ParamGroup: TypeAlias = tuple[int, Callable[..., tuple[Array, ...]]]
"""The end offset of a parameter group in the vectors, and the kernel of the group."""

Elementwise: TypeAlias = Callable[[Namespace, Sequence[Array], Any], tuple[Array, ...]]
"""``run(xp, vectors, numbers) -> vectors``."""


def apply_param_groups(
    param_groups: Sequence[ParamGroup], xp: Namespace, vectors: Sequence[Array], numbers: Any
) -> tuple[Array, ...]:
    """Return the vectors that each parameter group's kernel computes from its segment, in any namespace.

    Parameters
    ----------
    param_groups : sequence of ParamGroup
        The end of each segment and its kernel, ``kernel(xp, vectors, numbers)``.
    xp : namespace
    vectors : sequence of array
        Of one length, (size,).
    numbers : sequence of float
        What changes at every step.

    Returns
    -------
    tuple of array
        Each (size,).

    Examples
    --------
    >>> import numpy as np
    >>> from portnn.backend import apply_param_groups
    >>> halved = (2, lambda xp, vectors, numbers: (vectors[0] * numbers[0],))
    >>> kept = (3, lambda xp, vectors, numbers: (vectors[0],))
    >>> apply_param_groups([halved, kept], np, [np.array([2.0, 4.0, 6.0])], (0.5,))[0].tolist()
    [1.0, 2.0, 6.0]
    """
    if len(param_groups) == 1:
        return param_groups[0][1](xp, vectors, numbers)
    if isinstance(vectors[0], TracedArray):
        return vectors[0].tape.kernel(param_groups, vectors, numbers)
    parts, start = [], 0
    for stop, kernel in param_groups:
        parts.append(kernel(xp, [vector[start:stop] for vector in vectors], numbers))
        start = stop
    return tuple(xp.concat(list(parts_of_vector)) for parts_of_vector in zip(*parts, strict=True))


def apply_blocked(
    param_groups: Sequence[ParamGroup], donate: tuple[int, ...], size: int, empty_like: Callable[..., Array]
) -> Elementwise:
    """Return a function that runs the kernels in blocks of ``size`` elements, so that temporaries stay in a cache.

    The results are written to the donated vectors, or to new ones from the library's ``empty_like``. The tracer records
    the whole function as one operation.

    Parameters
    ----------
    param_groups : sequence of ParamGroup
    donate : tuple of int
        Numbers of the vectors whose memory the results may take; () for none.
    size : int
        Elements of a block.
    empty_like : callable

    Returns
    -------
    callable
        ``function(xp, vectors, numbers)``, which returns a tuple of vectors.

    Examples
    --------
    >>> import numpy as np
    >>> from portnn.backend import apply_blocked
    >>> double = apply_blocked([(3, lambda xp, vectors, numbers: (vectors[0] * 2.0,))], (), 2, np.empty_like)
    >>> double(np, [np.arange(3.0)], ())[0].tolist()
    [0.0, 2.0, 4.0]
    """
    blocks, start = [], 0
    for stop, kernel in param_groups:
        blocks += [(slice(i, min(i + size, stop)), kernel) for i in range(start, stop, size)]
        start = stop

    def run(xp: Namespace, vectors: Sequence[Array], numbers: Any) -> tuple[Array, ...]:
        if isinstance(vectors[0], TracedArray):
            return vectors[0].tape.kernel(param_groups, vectors, numbers)
        results = [vectors[i] for i in donate]
        for block, kernel in blocks:
            parts = kernel(xp, [vector[block] for vector in vectors], numbers)
            results = results or [empty_like(vectors[0], dtype=part.dtype) for part in parts]
            for result, part in zip(results, parts, strict=True):
                if part.dtype != result.dtype:  # an assignment would cast in silence
                    raise dtype_promotion_error(part.dtype, result.dtype)
                result[block] = part
        return tuple(results)

    return run
