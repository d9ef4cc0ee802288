"""Reproducible arithmetic on a part of a batch, of which other processes have the other parts.

An array knows which of its axes has the part's rows. Sums and products over that axis are taken over the rows of all
processes: their scales are the largest of all parts, their sums are exact, so that the bits are those of one process
that has the whole batch. All other operations are the namespace's own.
"""

import operator
from collections.abc import Callable, Sequence
from math import prod
from typing import Any, TypeAlias

import numpy as np

from portnn.backend import Backend
from portnn.errors import DistributedError
from portnn.jit.graph import Operators
from portnn.ops import OPS
from portnn.reproducible import exact
from portnn.reproducible.namespace import ReproducibleNamespace
from portnn.types import Array

_OPERATORS: dict[str, Callable[..., Any]] = {
    "add": operator.add,
    "subtract": operator.sub,
    "multiply": operator.mul,
    "divide": operator.truediv,
    "bitwise_and": operator.and_,
    "bitwise_xor": operator.xor,
    "bitwise_right_shift": operator.rshift,
    "greater": operator.gt,
    "less": operator.lt,
    "equal": operator.eq,
}
Reduce: TypeAlias = Callable[[np.ndarray, str], np.ndarray]
"""``all_reduce(array, "sum" | "max")`` over the processes, on the host."""
_KINDS = {op.name: op.kind for op in OPS}


def _refuse_values(*arguments: object, **options: object) -> Any:
    raise DistributedError("distributed: expected layers that never ask for the value of an array")


class PartArray(Operators):
    """An array of one process."""

    tape: "PartsNamespace"
    __bool__ = __float__ = __int__ = __index__ = __iter__ = __len__ = __array__ = _refuse_values

    def __init__(
        self, tape: "PartsNamespace", array: Array, rows: int | None = None, per_row: int = 1, drawn: bool = False
    ) -> None:
        """``rows``: axis of the part's rows, from the end (-1 is the last); None: the array is the same everywhere.

        ``per_row``: elements of that axis for each row; ``drawn``: whether rows may be among the axes of an array that
        depends on no data: random bits, say.
        """
        self.tape, self.array, self.rows, self.per_row, self.drawn = tape, array, rows, per_row, drawn

    @property
    def shape(self) -> tuple[int, ...]:
        return tuple(self.array.shape)

    @property
    def ndim(self) -> int:
        return int(self.array.ndim)

    @property
    def dtype(self) -> Any:
        return self.array.dtype

    def like(self, array: Array, rows: int | None) -> "PartArray":
        """Return a result that is computed from this array alone."""
        return PartArray(self.tape, array, rows, self.per_row if rows is not None else 1, self.drawn)

    def __getitem__(self, key: Any) -> "PartArray":
        parts = [part for part in (key if isinstance(key, tuple) else (key,)) if part is not Ellipsis]
        if not all(isinstance(part, slice) for part in parts):
            raise DistributedError(f"distributed: expected slices as indices; got {key!r}")
        if self.rows is not None:
            axis = self.ndim + self.rows
            if axis < len(parts) and parts[axis] != slice(None):
                raise DistributedError("distributed: expected no index for the rows of a batch, which are a part of it")
        return self.like(self.array[key], self.rows)


class PartsNamespace:
    """The reproducible namespace's functions on the arrays of a part of a batch, for one call."""

    def __init__(self, xp: ReproducibleNamespace, backend: Backend, row: int, rows: int, all_reduce: Reduce) -> None:
        """``row``: number of the part's first row in a batch of ``rows`` rows."""
        self._xp, self._backend, self._all_reduce = xp, backend, all_reduce
        self._parts = exact.Parts(row, rows, self._sums, self._largest)

    def __getattr__(self, name: str) -> Any:
        kind, value = _KINDS.get(name), getattr(self._xp, name)
        if kind in ("elementwise", "comparison", "selection"):
            return lambda *operands: self._elementwise(value, *operands)
        if name in ("arange", "asarray"):
            return lambda *values, **options: PartArray(self, value(*values, **options), drawn=True)
        if name == "finfo" or kind is None:  # a dtype
            return value
        raise DistributedError(f"distributed: xp.{name} has no meaning yet for the parts of a batch")

    def binary(self, name: str, *pair: Any) -> PartArray:
        """Return the result of an operator."""
        return self._elementwise(_OPERATORS[name], *pair)

    def split(self, array: Any) -> Any:
        """Return an array of the batch, whose rows are the part's; a number stays one."""
        return PartArray(self, array, -array.ndim) if hasattr(array, "ndim") else array

    def whole(self, array: Array) -> PartArray:
        """Return an array that is the same on all processes."""
        return PartArray(self, array)

    def result(self, name: str, value: PartArray) -> Array:
        """Return a result of the step. Raises DistributedError unless it is the same on all processes."""
        if value.rows is not None or value.drawn:
            raise DistributedError(f"distributed: expected a {name} of the whole batch; got one of the part's rows")
        return value.array

    def _elementwise(self, function: Callable[..., Array], *operands: Any) -> PartArray:
        arrays = [operand for operand in operands if isinstance(operand, PartArray)]
        split = {(array.rows, array.per_row) for array in arrays if array.rows is not None}
        if len(split) > 1:
            raise DistributedError("distributed: expected arrays of which the same axis has the rows of the batch")
        result = function(*(operand.array if isinstance(operand, PartArray) else operand for operand in operands))
        for rows, per_row in split:
            return PartArray(self, result, rows, per_row)
        return PartArray(self, result, drawn=any(array.drawn for array in arrays))

    # ---- over the processes

    def _sums(self, *arrays: Array) -> list[Array]:
        return self._reduced("sum", [self._backend.to_numpy(array) for array in arrays])

    def _largest(self, *arrays: Array) -> list[Array]:
        """MPI leaves the largest of NaN and a number open: infinity stands for NaN, which scales are then."""
        host = [self._backend.to_numpy(array) for array in arrays]
        found = self._reduced("max", [np.where(np.isnan(array), np.inf, array) for array in host])
        return [array - array * 0.0 for array in found]

    def _reduced(self, op: str, arrays: list[np.ndarray]) -> list[Array]:
        """Reduce arrays of one dtype in one message."""
        total = self._all_reduce(np.concatenate([array.reshape(-1) for array in arrays]), op)
        stops = np.cumsum([array.size for array in arrays])[:-1]
        return [
            self._backend.asarray(part.reshape(array.shape), str(array.dtype))
            for part, array in zip(np.split(total, stops), arrays, strict=True)
        ]

    # ---- shapes

    def reshape(self, x: PartArray, shape: tuple[int, ...]) -> PartArray:
        """Reshape; rows stay on the first axis, each with as many elements as before."""
        reshaped = self._xp.reshape(x.array, shape)
        if x.rows is None:
            return x.like(reshaped, None)
        size, rest = prod(x.shape[1:]) * x.per_row, prod(reshaped.shape[1:])
        if x.rows != -x.ndim or not rest or size % rest:
            raise DistributedError(f"distributed: expected a shape whose first axis has the rows; got {shape}")
        return PartArray(self, reshaped, -reshaped.ndim, size // rest)

    def expand_dims(self, x: PartArray, *, axis: int) -> PartArray:
        axis = axis % (x.ndim + 1)
        after = x.rows is not None and axis > x.ndim + x.rows
        return x.like(self._xp.expand_dims(x.array, axis=axis), None if x.rows is None else x.rows - after)

    def matrix_transpose(self, x: PartArray) -> PartArray:
        rows = {-1: -2, -2: -1}.get(x.rows, x.rows) if x.rows is not None else None
        return x.like(self._xp.matrix_transpose(x.array), rows)

    def concat(self, arrays: Sequence[PartArray], *, axis: int = 0) -> PartArray:
        if any(array.rows is not None and array.rows == axis % array.ndim - array.ndim for array in arrays):
            raise DistributedError("distributed: expected no more rows than those of the batch; got concat along them")
        return self._elementwise(lambda *parts: self._xp.concat(list(parts), axis=axis), *arrays)

    def take(self, x: PartArray, indices: PartArray, *, axis: int) -> PartArray:
        """Take rows of a table: the result has an index of the batch's rows in the place of the axis."""
        taken = self._xp.take(x.array, indices.array, axis=axis)
        if indices.rows is None:
            along = x.rows is not None and x.rows == axis % x.ndim - x.ndim
            if along or indices.drawn:
                raise DistributedError("distributed: expected indices that belong to the rows of the batch")
            return x.like(taken, x.rows)
        if x.rows is not None:
            raise DistributedError("distributed: expected a table that is the same for all rows of the batch")
        return PartArray(self, taken, axis % x.ndim - x.ndim, indices.per_row)

    # ---- reductions

    def sum(self, x: PartArray, *, axis: int | tuple[int, ...] | None = None, keepdims: bool = False) -> PartArray:
        """Return the sum; over the rows of a batch that of all processes."""
        over_rows, rows = self._reduction(x, axis, keepdims)
        if not over_rows:
            return x.like(self._xp.sum(x.array, axis=axis, keepdims=keepdims), rows)
        if x.rows != -x.ndim:
            raise DistributedError("distributed: expected the rows of the batch on the first axis of a sum")
        library, parts = self._xp.library, self._parts.times(x.per_row)
        if library.isdtype(x.dtype, "integral"):
            return self.whole(parts.sums(library.sum(x.array, axis=axis, keepdims=keepdims))[0])
        return self.whole(exact.total(library, x.array, axis, keepdims, parts))

    def max(self, x: PartArray, *, axis: int | tuple[int, ...] | None = None, keepdims: bool = False) -> PartArray:
        over_rows, rows = self._reduction(x, axis, keepdims)
        if over_rows:
            raise DistributedError("distributed: xp.max over the rows of a batch has no meaning yet for its parts")
        return x.like(self._xp.max(x.array, axis=axis, keepdims=keepdims), rows)

    def _reduction(self, x: PartArray, axis: int | tuple[int, ...] | None, keepdims: bool) -> tuple[bool, int | None]:
        """Return whether the rows are among the axes, and the axis of the rows in the result."""
        axes = range(x.ndim) if axis is None else axis if isinstance(axis, tuple) else (axis,)
        reduced = {along % x.ndim - x.ndim for along in axes}
        if x.drawn:
            raise DistributedError("distributed: expected sums of arrays that depend on the data; got one of constants")
        if x.rows is None or x.rows in reduced:
            return x.rows is not None, None
        return False, x.rows if keepdims else x.rows + sum(along > x.rows for along in reduced)

    def matmul(self, a: PartArray, b: PartArray) -> PartArray:
        """Return the product of two matrices; over the rows of a batch the sum of all processes."""
        if a.drawn or b.drawn:
            raise DistributedError("distributed: expected products of arrays that depend on the data")
        if (a.rows, b.rows) == (-1, -2) and a.per_row == b.per_row:
            return self.whole(self._over_rows(a.array, b.array, self._parts.times(a.per_row)))
        if a.rows == -1 or b.rows == -2 or None not in (a.rows, b.rows):
            raise DistributedError("distributed: expected the rows of the batch on one axis of a product")
        rows = a.rows if b.rows is None else b.rows
        return (a if b.rows is None else b).like(self._xp.matmul(a.array, b.array), rows)

    def _over_rows(self, a: Array, b: Array, parts: exact.Parts) -> Array:
        library, cut = self._xp.library, self._xp.cut
        x = library.matrix_transpose(a)  # in its memory order
        by_x, by_b = parts.largest(*(exact.scale_of_part(library, each) for each in (x, b)))
        return exact.product(library, cut(x, by_x).transposed(library), cut(b, by_b), parts)
