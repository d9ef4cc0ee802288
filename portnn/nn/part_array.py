"""An array on a part of a batch, of which other processes have the other parts (portnn/nn/parts.py)."""

from operator import index
from typing import Any

from portnn.errors import DistributedError
from portnn.jit.graph import Operators, without_ellipsis
from portnn.types import Array


class UncheckedError(DistributedError):
    """A function or an index of which nobody knows whether it keeps to the rows of the part."""


class PartRows:
    """The number of a part's rows: it counts and shapes, and is refused as a divisor, where the batch's is meant."""

    def __init__(self, count: int) -> None:
        self._count = count

    def __index__(self) -> int:
        return self._count

    def __repr__(self) -> str:
        return repr(self._count)

    def __hash__(self) -> int:
        return hash(self._count)

    def _refused(self, *others: object) -> Any:
        raise DistributedError(
            "distributed: expected context.rows, the rows of the batch, in a computation; got x.shape[0], a part's"
        )

    __truediv__ = __rtruediv__ = __int__ = __float__ = __pow__ = __rpow__ = _refused


def _counted(name: str) -> Any:
    """Return an operator that computes with the count and another integer."""

    def compute(self: PartRows, other: Any) -> Any:
        if isinstance(other, float | PartArray):
            self._refused()
        return getattr(index(self), name)(plain(other))

    return compute


for _name in ("add", "radd", "sub", "rsub", "mul", "rmul", "floordiv", "mod", "eq", "ne", "lt", "le", "gt", "ge"):
    setattr(PartRows, f"__{_name}__", _counted(f"__{_name}__"))


def _refuse_values(*arguments: object, **options: object) -> Any:
    raise UncheckedError("distributed: expected layers that never ask for the value of an array")


class PartArray(Operators):
    """An array of one process."""

    tape: Any
    """The ``PartsNamespace``."""
    __bool__ = __float__ = __int__ = __index__ = __iter__ = __len__ = __array__ = _refuse_values

    def __init__(
        self,
        tape: Any,
        array: Array,
        rows: int | None = None,
        per_row: int = 1,
        drawn: bool = False,
        partial: bool = False,
    ) -> None:
        """``rows``: axis of the part's rows, from the end (-1 is the last); None: it has none.

        ``per_row``: elements of that axis for each row; ``drawn``: whether rows may be among the axes of an array that
        depends on no data: random bits, say; ``partial``: whether it is a sum over the part's rows. Otherwise the array
        is the same on all processes.
        """
        self.tape, self.array, self.rows, self.per_row = tape, array, rows, per_row
        self.drawn, self.partial = drawn, partial

    @property
    def shape(self) -> tuple[Any, ...]:
        """The shape; the number of rows is a ``PartRows``."""
        shape = list(self.array.shape)
        if self.rows is not None:
            shape[self.rows] = PartRows(shape[self.rows])
        return tuple(shape)

    @property
    def ndim(self) -> int:
        return int(self.array.ndim)

    @property
    def dtype(self) -> Any:
        return self.array.dtype

    def like(self, array: Array, rows: int | None) -> "PartArray":
        """Return a result that is computed from this array alone."""
        return PartArray(self.tape, array, rows, self.per_row if rows is not None else 1, self.drawn, self.partial)

    def __getitem__(self, key: Any) -> "PartArray":
        parts = without_ellipsis(key, self.ndim)
        if not all(isinstance(part, slice) for part in parts):
            raise UncheckedError(f"distributed: expected slices as indices; got {key!r}")
        if self.rows is not None and (parts + [slice(None)] * self.ndim)[self.ndim + self.rows] != slice(None):
            raise DistributedError("distributed: expected no index for the rows of a batch, which are a part of it")
        return self.like(self.array[key], self.rows)


def plain(value: Any) -> Any:
    """Return the integer of a number of rows."""
    return index(value) if isinstance(value, PartRows) else value
