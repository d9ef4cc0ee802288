"""Reproducible arithmetic on a part of a batch, of which other processes have the other parts.

Sums and products over the rows of the batch are taken over the rows of all processes: their scales are the largest of
all parts, their sums are exact, so that the bits are those of one process that has the whole batch.
"""

from collections.abc import Callable
from typing import TypeAlias

import numpy as np

from portnn.backend import Backend
from portnn.errors import DistributedError
from portnn.nn.part_array import PartArray
from portnn.nn.parts import PartsNamespace
from portnn.reproducible import exact
from portnn.reproducible.namespace import ReproducibleNamespace
from portnn.types import Array

Reduce: TypeAlias = Callable[[np.ndarray, str], np.ndarray]
"""``all_reduce(array, "sum" | "max")`` over the processes, on the host."""


class ExactParts(PartsNamespace):
    """The reproducible namespace's functions on the arrays of a part of a batch, for one call."""

    _xp: ReproducibleNamespace

    def __init__(self, xp: ReproducibleNamespace, backend: Backend, row: int, rows: int, all_reduce: Reduce) -> None:
        """``row``: number of the part's first row in a batch of ``rows`` rows."""
        super().__init__(xp)
        self._backend, self._all_reduce = backend, all_reduce
        self._parts = exact.Parts(row, rows, self._sums, self._largest)

    def result(self, name: str, value: PartArray) -> Array:
        """Return a result of the step. Raises DistributedError unless it is the same on all processes."""
        if value.rows is not None or value.drawn:
            raise DistributedError(f"distributed: expected a {name} of the whole batch; got one of the part's rows")
        return value.array

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

    def _sum_over_rows(self, x: PartArray, axis: int | tuple[int, ...] | None, keepdims: bool) -> PartArray:
        library, parts = self._xp.library, self._parts.times(x.per_row)
        if library.isdtype(x.dtype, "integral"):
            return self.whole(parts.sums(library.sum(x.array, axis=axis, keepdims=keepdims))[0])
        return self.whole(exact.total(library, x.array, axis, keepdims, parts))

    def _product_over_rows(self, a: PartArray, b: PartArray) -> PartArray:
        library, cut, parts = self._xp.library, self._xp.cut, self._parts.times(a.per_row)
        x = library.matrix_transpose(a.array)  # in its memory order
        by_x, by_b = parts.largest(*(exact.scale_of_part(library, each) for each in (x, b.array)))
        return self.whole(exact.product(library, cut(x, by_x).transposed(library), cut(b.array, by_b), parts))
