"""Arithmetics: the library's own, or one with the same bits on every library."""

from collections.abc import Callable, Sequence
from functools import cache, cached_property, partial
from math import prod
from typing import Any

import numpy as np

from portnn.backend import Backend, Donation, Elementwise, ParamGroup, apply_param_groups
from portnn.errors import ArgumentError, BackendUnavailableError
from portnn.options import lookup
from portnn.reproducible import elementary, exact, known_answers
from portnn.reproducible.namespace import Cut, ReproducibleNamespace, ReproducibleOps
from portnn.reproducible.parts import ExactParts, Reduce
from portnn.types import Array, Namespace

_RETAINED = 30 << 20
_BLOCK = 16384
"""Least number of elements of an element-wise kernel that the adapter runs, in blocks if it can."""


class Arithmetic:
    """The library's own functions, run the fastest way."""

    def __init__(self, backend: Backend) -> None:
        self.backend = backend

    @property
    def xp(self) -> Namespace:
        """The namespace of one call."""
        return self.backend.xp

    def compile(
        self, function: Callable[..., Any], static: int = 1, donation: Donation | None = None
    ) -> Callable[..., Any]:
        """Return a pure function, compiled by the backend."""
        return self.backend.compile(function, static, donation)

    def elementwise(
        self, param_groups: Sequence[ParamGroup], donate: tuple[int, ...] = (), offsets: Sequence[int] = ()
    ) -> Elementwise:
        """Return the kernels of parameter groups as the backend runs them."""
        return self.backend.elementwise(param_groups, donate, offsets)

    def over_parts(self, row: int, rows: int, all_reduce: Reduce) -> ExactParts | None:
        """Return the namespace whose sums over the rows of a batch are those of all processes; None: there is none.

        ``row``: number of this process's first row in a batch of ``rows`` rows.
        """
        return None

    def donates_state(self, size: int) -> bool:
        """Return whether a step updates a state of this size in place; see Backend.donates_state."""
        return self.backend.donates_state(size)

    def flush_denormals(self, array: Array) -> Array:
        """Return data as the next step needs them."""
        return array

    def flush(self, array: Array) -> Array:
        """Return an array that a step computes, with denormals as 0 if the arithmetic has none."""
        return array


class Reproducible(Arithmetic):
    """Arithmetic of single IEEE 754 operations: no multiplication is fused with an addition, denormals are 0.

    Raises BackendUnavailableError without float64, and if known answers do not come out.
    """

    def __init__(self, backend: Backend) -> None:
        super().__init__(backend)
        if "float64" not in backend.dtypes():
            raise BackendUnavailableError(f"arithmetic: reproducible arithmetic needs float64; {backend!r} has none")
        # glibc returns freed memory to the system beyond twice the largest mapping that was ever freed: without this
        # one, which no one touches, a step takes its temporaries anew, page by page, in a fifth of its time.
        np.empty(_RETAINED, np.uint8)
        with backend.scope():
            exact_sqrt = known_answers.sqrt_is_exact(backend.xp, backend.asarray, backend.to_numpy)
            self._kit = ReproducibleOps(backend.xp, partial(self._run_elementwise, backend.xp), exact_sqrt, self._cut)
            wrong = known_answers.first_failure(self.xp, backend.asarray, backend.to_numpy)
        if wrong:
            raise BackendUnavailableError(
                f"arithmetic: {backend!r} cannot compute reproducibly: {wrong}. Fast-math, emulated float64 or flushed "
                f'results may be the reason; use arithmetic="fast" or another device'
            )

    @property
    def xp(self) -> Namespace:
        return ReproducibleNamespace(self._kit)

    def _over(self, xp: Namespace) -> Namespace:
        """Return the namespace over the library's, or over a tracer."""
        if isinstance(xp, ReproducibleNamespace):
            return xp
        if xp is self.backend.xp:
            return self.xp
        return ReproducibleNamespace(ReproducibleOps(xp, partial(self._run_elementwise, xp), self._kit.exact_sqrt))

    def compile(
        self, function: Callable[..., Any], static: int = 1, donation: Donation | None = None
    ) -> Callable[..., Any]:
        """Return the function uncompiled if a compiler may contract a multiplication and an addition."""
        if not self.backend.preserves_op_order:
            return partial(self.backend.call_in_scope, function, static)
        compiled = self.backend.compile(lambda xp, *arguments: function(self._over(xp), *arguments), static, donation)
        return partial(self._run, compiled, partial(self.backend.call_in_scope, function, static))

    def _run(self, compiled: Callable[..., Any], eagerly: Callable[..., Any], xp: Namespace, *arguments: Any) -> Any:
        """Run a compiled function in this arithmetic's namespace, else the eager one."""
        if isinstance(xp, ReproducibleNamespace):
            return compiled(self.backend.xp, *arguments)
        return eagerly(xp, *arguments)

    def elementwise(
        self, param_groups: Sequence[ParamGroup], donate: tuple[int, ...] = (), offsets: Sequence[int] = ()
    ) -> Elementwise:
        """Return the backend's own way of running kernels, with denormal results as 0."""
        return self.backend.elementwise(
            [(stop, partial(self._flushed, kernel)) for stop, kernel in param_groups], donate, offsets
        )

    def over_parts(self, row: int, rows: int, all_reduce: Reduce) -> ExactParts | None:
        """Return the namespace on a part of a batch: its sums have the bits of those over the whole batch."""
        return ExactParts(ReproducibleNamespace(self._kit), self.backend, row, rows, all_reduce)

    def donates_state(self, size: int) -> bool:
        """Return whether steps update a state of this size in place, if they are compiled."""
        return self.backend.preserves_op_order and self.backend.donates_state(size)

    def flush_denormals(self, array: Array) -> Array:
        """Return a float64 array with denormals as 0: some libraries flush them, some do not."""
        if array.dtype != self.backend.xp.float64:
            return array
        with self.backend.scope():
            return self._run_elementwise(self.backend.xp, elementary.flushed, [array])[0]

    def flush(self, array: Array) -> Array:
        """Return an array that a step computes, with denormals as 0."""
        return elementary.flushed(self.backend.xp, [array])[0]

    def _flushed(
        self, kernel: Callable[..., tuple[Array, ...]], xp: Namespace, vectors: Sequence[Array], numbers: Any
    ) -> tuple[Array, ...]:
        return elementary.flushed(xp, kernel(self._over(xp), vectors, numbers))

    @cached_property
    def _cut(self) -> Cut:
        """Return exact.split, compiled for large matrices if the library can: it has nothing to contract."""
        at_once = self.backend.jit_exact(exact.split)
        return lambda a, by: (at_once if prod(a.shape) > _BLOCK else exact.split)(a, by)

    def _run_elementwise(
        self, xp: Namespace, kernel: Callable[..., tuple[Array, ...]], arrays: Sequence[Array]
    ) -> tuple[Array, ...]:
        """Run a kernel on arrays of one shape."""
        shape = arrays[0].shape
        vectors, size = [xp.reshape(array, (-1,)) for array in arrays], prod(shape)
        run = (
            self.backend.elementwise([(size, kernel)])
            if size > _BLOCK
            else partial(apply_param_groups, [(size, kernel)])
        )
        return tuple(xp.reshape(result, shape) for result in run(xp, vectors, ()))


ARITHMETICS: dict[str, Callable[[Backend], Arithmetic]] = {
    "fast": cache(Arithmetic),
    "reproducible": cache(Reproducible),
}
"""Arithmetics by name; one object per backend, so that known answers are checked once."""


def dtype_in(arithmetic: str, dtype: str | None) -> str:
    """Return the dtype of an arithmetic's parameters; None: the default. Raises ArgumentError for another dtype."""
    lookup("arithmetic", arithmetic, ARITHMETICS)
    if arithmetic == "fast":
        return "float32" if dtype is None else dtype
    if dtype not in (None, "float64"):
        raise ArgumentError(f"dtype: reproducible arithmetic is float64 throughout; got {dtype!r}")
    return "float64"
