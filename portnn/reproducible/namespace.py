"""The reproducible namespace: the array API functions that networks use, with the same bits on every array library.

Layers, losses and optimizers that run on this namespace train to the same weights bit for bit, whatever the library,
its BLAS, its device and its number of threads. Arrays are the library's float64 arrays: ``+ - *``, comparisons,
same-shape ``/`` and ``1.0 / x`` are correctly rounded on each. Sums, matrix products and elementary functions are here;
all other functions are refused, so that nothing differs in silence.
"""

from collections.abc import Callable, Sequence
from typing import Any, TypeAlias

from portnn.errors import DTypeError, ShapeError
from portnn.ops import OPS
from portnn.reproducible import elementary, exact
from portnn.types import Array, Namespace

_SAME = frozenset({"float32", "float64", "int32", "argmax"} | {op.name for op in OPS if op.exact and op.core})
"""Functions (and dtypes) of a library that are exact, or only move numbers."""

Each: TypeAlias = Callable[..., tuple[Array, ...]]
"""``run_elementwise(kernel, arrays)`` runs an element-wise kernel on arrays of one shape, the library's fastest way."""
Cut: TypeAlias = Callable[[Array, Array], exact.SplitMatrix]
"""``cut(a, by)`` is exact.split, run the library's fastest way."""


class ReproducibleOps:
    """Shared by the namespaces of one backend: the library, its way of running kernels, and the tables."""

    def __init__(self, xp: Namespace, run_elementwise: Each, exact_sqrt: bool, cut: Cut = exact.split) -> None:
        """``xp``: the library's namespace; ``exact_sqrt``: whether its square root is correctly rounded."""
        self.xp, self.run_elementwise, self.exact_sqrt, self.cut = xp, run_elementwise, exact_sqrt, cut
        tables = elementary.POWERS, elementary.THRESHOLDS, elementary.INVERSES
        powers, thresholds, inverses = (xp.asarray(table, dtype=xp.float64) for table in tables)
        self.functions: dict[str, Callable[[Array], Array]] = {
            "exp": self._of(elementary.exp, powers),
            "expm1": self._of(elementary.expm1, powers),
            "tanh": self._of(elementary.tanh, powers),
            "log": self._of(elementary.log, thresholds, inverses),
            "log1p": self._of(elementary.log1p, thresholds, inverses),
            "cos": self._of(elementary.cos),
            "sqrt": xp.sqrt if exact_sqrt else self._of(elementary.sqrt),
        }

    def _of(self, function: Callable[..., Array], *tables: Array) -> Callable[[Array], Array]:
        """Return an elementary function of arrays of any shape."""

        def kernel(xp: Namespace, vectors: Sequence[Array], numbers: Any) -> tuple[Array, ...]:
            return (function(xp, vectors[0], *tables),)

        return lambda x: self.run_elementwise(kernel, [x])[0]


class ReproducibleNamespace:
    """The functions on one library's arrays, for one call.

    It caches the split of each operand until the call ends; the cache does not change results.
    """

    def __init__(self, kit: ReproducibleOps) -> None:
        self._kit, self._xp = kit, kit.xp
        self._split_cache: dict[tuple[int, int], tuple[Array, exact.SplitMatrix]] = {}
        self._origins: dict[int, tuple[Array, Array]] = {}

    def __getattr__(self, name: str) -> Any:
        value = self._kit.functions.get(name)
        if value is None and name in _SAME:
            value = getattr(self._xp, name)
        if value is None:
            raise AttributeError(
                f"reproducible: xp.{name} may differ from one array library to the next: write it in the operations of "
                f"portnn/reproducible/namespace.py, or add it there"
            )
        setattr(self, name, value)  # cached: __getattr__ runs once per name
        return value

    @property
    def library(self) -> Namespace:
        """The library's own namespace."""
        return self._xp

    @property
    def cut(self) -> Cut:
        """``exact.split``, run the library's fastest way."""
        return self._kit.cut

    # ---- matrices

    def matrix_transpose(self, x: Array) -> Array:
        transposed = self._xp.matrix_transpose(x)
        self._origins[id(transposed)] = transposed, x  # kept alive, so that no other array gets its id
        return transposed

    def matmul(self, a: Array, b: Array) -> Array:
        """Return the product of two matrices, or of stacks of such; see ``exact.product``.

        The left operand is split by rows, the right one by columns: each row of a result depends on its own row alone.
        """
        if min(a.ndim, b.ndim) < 2:
            raise ShapeError(f"matmul: expected matrices in reproducible arithmetic; got {a.shape} and {b.shape}")
        return exact.product(self._xp, self._cut(a, -1), self._cut(b, -2))

    def _cut(self, a: Array, axis: int) -> exact.SplitMatrix:
        _, origin = self._origins.get(id(a), (a, None))
        if origin is not None:  # in its memory order
            return self._cut(origin, -3 - axis).transposed(self._xp)
        cached = self._split_cache.get((id(a), axis))
        if cached is None:
            cached = self._split_cache[id(a), axis] = a, self._kit.cut(a, exact.scale(self._xp, a, axis))
        return cached[1]

    # ---- reductions

    def sum(self, x: Array, *, axis: int | tuple[int, ...] | None = None, keepdims: bool = False) -> Array:
        """Return the sum; see ``exact.total``. Sums of integers are exact."""
        if x.dtype == self._xp.float64:
            return exact.total(self._xp, x, axis, keepdims)
        if self._xp.isdtype(x.dtype, "integral"):
            return self._xp.sum(x, axis=axis, keepdims=keepdims)
        raise DTypeError(f"sum: expected float64 or whole numbers in reproducible arithmetic; got {x.dtype}")

    def max(self, x: Array, *, axis: int | tuple[int, ...] | None = None, keepdims: bool = False) -> Array:
        return self._xp.max(x, axis=axis, keepdims=keepdims) + 0.0  # between 0 and -0 libraries differ

    # ---- elements

    def maximum(self, x: Array, other: float) -> Array:
        return self._xp.maximum(x, other) + 0.0

    def minimum(self, x: Array, other: float) -> Array:
        return self._xp.minimum(x, other) + 0.0

    def sign(self, x: Array) -> Array:
        xp = self._xp
        return xp.where(x == x, xp.astype(x > 0.0, x.dtype) - xp.astype(x < 0.0, x.dtype), x)
