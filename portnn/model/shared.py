"""The gradients of a batch of which each process has a part, as a pure function of the flat state."""

import logging
from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

from portnn.backend import Backend
from portnn.distributed import Communicator
from portnn.errors import DistributedError
from portnn.model.step import FunctionalModel, State
from portnn.nn.part_array import UncheckedError
from portnn.nn.parts import CheckedParts
from portnn.nn.random import Key
from portnn.reproducible.arithmetic import Arithmetic
from portnn.types import Array, Batch, ForwardContext, Namespace

_log = logging.getLogger("portnn")


class Part(NamedTuple):
    """Which rows of a batch this process has."""

    row: int
    """Number of the part's first row in the batch."""
    rows: int
    """Rows of the batch."""
    comm: Communicator


class SharedGradients:
    """Computes a batch's (loss, gradient vector, new buffers), of which each process has a part: the same on each."""

    def __init__(self, backend: Backend, model: FunctionalModel, arithmetic: Arithmetic, dtype: str) -> None:
        self._backend, self._model, self._arithmetic, self._dtype = backend, model, arithmetic, dtype
        self._on_device: Callable[[Array], Array] | None = None
        self._compiled: dict[tuple[int, int], Callable[..., Any]] = {}
        self._layers_sum: bool | None = None
        """Whether a layer sums over the parts of a batch; None: not known yet."""

    def __call__(self, xp: Namespace, state: State, batch: Batch, key: Key, part: Part) -> tuple[Array, Array, Array]:
        over_parts = self._arithmetic.over_parts(part.row, part.rows, part.comm.all_reduce)
        if over_parts is not None:
            exactly = partial(self._exactly, part)
            results: tuple[Array, Array, Array] = self._backend.call_in_scope(exactly, 1, over_parts, state, batch, key)
            return results

        def summed(array: Array, overwrite: bool = False) -> Array:
            if self._on_device is not None:
                return self._on_device(array)
            host = self._backend.to_numpy(array)
            return self._backend.asarray(part.comm.all_reduce(host, overwrite=overwrite), self._dtype)

        function = self._function(xp, state, batch, key, part, summed)
        loss, gradient, buffers = function(xp, state, batch, key)
        # The gradient is this step's own: a second memory of its size would be taken anew, page by page.
        return summed(loss), summed(gradient, overwrite=True), buffers

    def begin(self, comm: Communicator) -> None:
        """Prepare sums that do not go through the host, for a communicator that asks for it; all processes call it."""
        self._on_device = self._backend.device_sum(comm) if getattr(comm, "on_device", False) else None

    def _exactly(self, part: Part, xp: Any, state: State, batch: Batch, key: Key) -> tuple[Array, Array, Array]:
        """Return the batch's results where the namespace's own sums over rows are those of all processes."""
        context = ForwardContext(training=True, key=key, row=part.row, rows=part.rows, tiles=False)
        inside = State(xp.whole(state.parameters), xp.whole(state.buffers), ())
        results = self._model.gradients(xp, inside, tuple(map(xp.split, batch)), context)
        loss, gradient, buffers = map(xp.result, ("loss", "gradient", "statistic"), results)
        return loss, gradient, self._arithmetic.flush(buffers)

    def _checked(self, part: Part, xp: Namespace, state: State, batch: Batch, key: Key) -> bool:
        """Return whether a layer sums over the processes.

        Raises DistributedError for layers and losses that take the sum over the rows of a part for that of the batch. A
        warning says of which that is not known.
        """
        parts, asked = CheckedParts(xp), []
        context = ForwardContext(True, key=key, row=part.row, rows=part.rows, all_reduce=parts.all_reduce, tiles=False)
        inside = State(parts.whole(state.parameters), parts.whole(state.buffers), ())
        try:
            loss, gradient, buffers = self._model.gradients(parts, inside, tuple(map(parts.split, batch)), context)
            for name, value, is_sum in (
                ("loss", loss, True),
                ("gradient", gradient, True),
                ("statistic", buffers, False),
            ):
                parts.check(name, value, is_sum)
            return parts.summed
        except (UncheckedError, AttributeError, TypeError) as error:  # such as x.T, and functions of NumPy itself
            _log.warning("%s: whether the layers are those of the whole batch is not checked", error)

        def ask(array: Array) -> Array:
            asked.append(array)
            return array

        self._model.part_gradients(part.row, part.rows, ask, xp, state, batch, key)
        return bool(asked)

    def _function(
        self,
        xp: Namespace,
        state: State,
        batch: Batch,
        key: Key,
        part: Part,
        summed: Callable[[Array], Array],
    ) -> Callable[..., Any]:
        """Return the function of a part's (loss, gradient vector, new buffers).

        It is compiled unless a layer sums over the processes, which no program holds: the first batch tells.
        """
        if self._layers_sum is None:
            checked = partial(self._checked, part)
            self._layers_sum = self._backend.call_in_scope(checked, 1, xp, state, batch, key)
        if self._layers_sum:
            eager = partial(self._model.part_gradients, part.row, part.rows, summed)
            return partial(self._backend.call_in_scope, eager, 1)
        place = part.row, part.rows
        if place not in self._compiled:
            function = partial(self._model.part_gradients, *place, _refuse_to_sum)
            self._compiled[place] = self._arithmetic.compile(function)
        return self._compiled[place]


def _refuse_to_sum(array: Array) -> Array:
    raise DistributedError("distributed: expected layers that sum over the parts of each batch, or of none")
