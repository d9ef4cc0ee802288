"""Arrays on a part of a batch, of which other processes have the other parts.

An array knows which of its axes has the part's rows. A sum or a product over that axis is of this part alone, until it
is summed over the processes: ``CheckedParts`` refuses layers and losses that use such a sum as if it were the batch's.
portnn/reproducible/parts.py takes each sum over all processes.
"""

import operator
from collections.abc import Callable, Sequence
from math import prod
from typing import Any

from portnn.errors import DistributedError
from portnn.nn.part_array import PartArray, PartRows, UncheckedError, plain
from portnn.ops import OPS, REGISTERED
from portnn.types import Array, Namespace

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
_KINDS = {op.name: op.kind for op in OPS}
_LINEAR = {"negative", "astype", "multiply", "divide", "add", "subtract"}
"""Functions of which the sum over the processes is that of the sum, with the other operands that are allowed."""


class PartsNamespace:
    """A namespace's functions on the arrays of a part of a batch, for one call."""

    def __init__(self, xp: Namespace) -> None:
        self._xp = xp

    def __getattr__(self, name: str) -> Any:
        kind = "elementwise" if name in REGISTERED else _KINDS.get(name)
        value = getattr(self._xp, name)
        if kind in ("elementwise", "comparison", "selection"):
            return lambda *operands: self._elementwise(name, value, *operands)
        if name in ("arange", "asarray"):
            return lambda *values, **options: PartArray(self, value(*map(plain, values), **options), drawn=True)
        if name == "finfo" or (kind is None and name in ("float32", "float64", "int32", "int64", "bool")):
            return value
        raise UncheckedError(f"distributed: xp.{name} has no meaning yet for the parts of a batch")

    def binary(self, name: str, *pair: Any) -> PartArray:
        """Return the result of an operator."""
        for operand in pair:
            if isinstance(operand, PartRows):
                float(operand)  # which is refused
        return self._elementwise(name, _OPERATORS[name], *pair)

    def split(self, array: Any) -> Any:
        """Return an array of the batch, whose rows are the part's; a number stays one."""
        return PartArray(self, array, -array.ndim) if hasattr(array, "ndim") else array

    def whole(self, array: Array) -> PartArray:
        """Return an array that is the same on all processes."""
        return PartArray(self, array)

    def _elementwise(self, name: str, function: Callable[..., Array], *operands: Any) -> PartArray:
        arrays = [operand for operand in operands if isinstance(operand, PartArray)]
        split = {(array.rows, array.per_row) for array in arrays if array.rows is not None}
        if len(split) > 1:
            raise DistributedError("distributed: expected arrays of which the same axis has the rows of the batch")
        partial = self._stays_partial(name, operands)
        result = function(*(operand.array if isinstance(operand, PartArray) else operand for operand in operands))
        for rows, per_row in split:
            return PartArray(self, result, rows, per_row)
        return PartArray(self, result, drawn=any(array.drawn for array in arrays), partial=partial)

    def _stays_partial(self, name: str, operands: Sequence[Any]) -> bool:
        """Return whether the result is a sum over this part's rows. Raises DistributedError if it is none of the batch.

        A sum of parts goes on to be one if it is added to others, or multiplied by what is the same on all processes.
        """
        partial = [isinstance(operand, PartArray) and operand.partial for operand in operands]
        if not any(partial):
            return False
        others = [operand for operand, of_part in zip(operands, partial, strict=True) if not of_part]
        alone = all(not isinstance(other, PartArray) or (other.rows is None and not other.drawn) for other in others)
        fits = {"add": not others, "subtract": not others, "divide": partial[0] and len(others) == 1}
        fits |= {"multiply": len(others) == 1, "concat": not others}
        if name not in _LINEAR | {"concat"} or not alone or not fits.get(name, True):
            raise DistributedError(
                "distributed: expected context.all_reduce(...) around a sum over the rows of a batch, or that of all "
                f"terms; got {name} of a sum over the rows of one part"
            )
        return True

    # ---- shapes

    def reshape(self, x: PartArray, shape: tuple[int, ...]) -> PartArray:
        """Reshape; rows stay on the first axis, each with as many elements as before."""
        reshaped = self._xp.reshape(x.array, tuple(map(plain, shape)))
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
        return self._elementwise("concat", lambda *parts: self._xp.concat(list(parts), axis=axis), *arrays)

    def take(self, x: PartArray, indices: PartArray, *, axis: int) -> PartArray:
        """Take rows of a table: the result has an index of the batch's rows in the place of the axis."""
        if x.partial or indices.partial:
            raise DistributedError("distributed: expected a table of the whole batch; got sums over one part's rows")
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
        return self._sum_over_rows(x, axis, keepdims)

    def max(self, x: PartArray, *, axis: int | tuple[int, ...] | None = None, keepdims: bool = False) -> PartArray:
        over_rows, rows = self._reduction(x, axis, keepdims)
        if over_rows:
            raise DistributedError("distributed: xp.max over the rows of a batch has no meaning yet for its parts")
        if x.partial:
            raise DistributedError("distributed: expected xp.max of the whole batch; got sums over one part's rows")
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
        """Return the product of two matrices, or of a stack; over the rows of a batch the sum of all processes."""
        if a.drawn or b.drawn:
            raise DistributedError("distributed: expected products of arrays that depend on the data")
        if (a.rows, b.rows) == (-1, -2) and a.per_row == b.per_row:
            return self._product_over_rows(a, b)
        in_stack = a.rows == b.rows and a.rows is not None and a.rows < -2 and a.per_row == b.per_row
        if a.rows == -1 or b.rows == -2 or not (in_stack or None in (a.rows, b.rows)):
            raise DistributedError("distributed: expected the rows of the batch on one axis of a product")
        if a.partial + b.partial + (a.rows is not None) + (b.rows is not None and not in_stack) > 1:
            raise DistributedError("distributed: expected one sum over the rows of a part in a product")
        if a.partial or b.partial:
            return PartArray(self, self._xp.matmul(a.array, b.array), partial=True)
        rows = a.rows if b.rows is None else b.rows
        return (a if b.rows is None else b).like(self._xp.matmul(a.array, b.array), rows)

    def _sum_over_rows(self, x: PartArray, axis: int | tuple[int, ...] | None, keepdims: bool) -> PartArray:
        """Return the sum over axes with the rows among them."""
        raise NotImplementedError

    def _product_over_rows(self, a: PartArray, b: PartArray) -> PartArray:
        """Return the product of matrices whose inner axis has the rows."""
        raise NotImplementedError


class CheckedParts(PartsNamespace):
    """The library's functions, which refuse a sum over one part's rows in the place of the batch's."""

    def __init__(self, xp: Namespace) -> None:
        super().__init__(xp)
        self.summed = False
        """Whether a layer sums over the processes."""

    def all_reduce(self, array: PartArray) -> PartArray:
        """Stand for a sum over the processes."""
        if array.rows is not None or not (array.partial or array.drawn):
            raise DistributedError("distributed: expected context.all_reduce(...) of a sum over the rows of a batch")
        self.summed = True
        return self.whole(array.array)

    def check(self, name: str, value: PartArray, partial: bool) -> None:
        """Refuse a result that is no sum over the part's rows, or, with ``partial`` False, one that is."""
        if value.rows is not None or value.drawn or value.partial != partial:
            expected = "that is a sum over the rows of a batch" if partial else "of the whole batch"
            raise DistributedError(f"distributed: expected a {name} {expected}; got another one")

    def _sum_over_rows(self, x: PartArray, axis: int | tuple[int, ...] | None, keepdims: bool) -> PartArray:
        return PartArray(self, self._xp.sum(x.array, axis=axis, keepdims=keepdims), partial=True)

    def _product_over_rows(self, a: PartArray, b: PartArray) -> PartArray:
        return PartArray(self, self._xp.matmul(a.array, b.array), partial=True)
