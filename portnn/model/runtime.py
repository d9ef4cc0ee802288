"""The runtime: a functional model compiled for one backend, with its state.

It takes validated arrays on its backend, and is called inside ``backend.scope()``.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np

from portnn.backend import Backend, Donation, dtype_promotion_error
from portnn.data.arrays import to_host
from portnn.data.dataset import DataSource
from portnn.distributed import Communicator
from portnn.errors import ShapeError
from portnn.io.tables import Names
from portnn.jit.graph import leaves
from portnn.metrics import Metric
from portnn.metrics.selection import Compared
from portnn.model.preprocess import Preprocessor
from portnn.model.shared import Part, SharedGradients
from portnn.model.state import START, Counters, NetworkState, locked
from portnn.model.step import FunctionalModel, State, Update
from portnn.nn import random
from portnn.nn.layer import as_preprocessing
from portnn.optim.chain import ChainHyperparams
from portnn.optim.optimizer import Optimizer
from portnn.reproducible.arithmetic import ARITHMETICS
from portnn.types import Array, Batch, Forward, ForwardContext, Namespace

PREDICT_ROWS = 8192
"""Rows per batch of a prediction: bounds the memory of the hidden layers."""


class Runtime(NetworkState):
    """A network's state on one backend, with the compiled functions on it."""

    def __init__(
        self,
        backend: Backend,
        model: FunctionalModel,
        optimizer: Optimizer,
        dtype: str,
        seed: int,
        state: State,
        counters: Counters = START,
        adapted: bool = False,
        arithmetic: str = "fast",
    ) -> None:
        """Copy the state's arrays, of any library, to the backend."""
        super().__init__(backend, model, optimizer, dtype, seed, state, counters, adapted, arithmetic)
        self._state_dtype = self.state.parameters.dtype
        self.donates_state = False
        """Whether a step may change the state in place, so that Ctrl-C must wait."""
        self._computes = ARITHMETICS[arithmetic](backend)
        self.flush_denormals = self._computes.flush_denormals
        """Returns an array with denormal numbers as 0, in an arithmetic that has none."""
        compiled = self._computes.compile
        self._forward, self._evaluate, self._gradients = (
            compiled(function) for function in (model.forward, model.evaluate, model.gradient)
        )
        self._min_batch_size = model.architecture.min_batch_size
        self._shared = SharedGradients(backend, model, self._computes, dtype)
        self._bind()
        self._preprocess = self._preprocessor()

    def _bind(self) -> None:
        """Compile the step for the optimizer: with the state donated, and with the state kept, if the library can."""
        chain, parameters, computes = self.optimizer.chain(), self.model.parameters, self._computes
        param_groups = chain.param_groups(parameters.n_decayed, parameters.size)
        donate = 0, *range(2, 2 + len(chain.state_names))
        self.chain = chain
        offsets = tuple(entry.stop for entry in parameters.storage_order)
        self._updates = tuple(
            partial(chain.update, computes.elementwise(param_groups, donated, offsets)) for donated in (donate, ())
        )
        size = parameters.size * (1 + len(chain.state_names)) + self.model.buffers.size
        self.donates_state = computes.donates_state(size * (8 if self.dtype == "float64" else 4))
        step = partial(_step, self.model, computes.flush)
        in_place = computes.compile(step, 2, Donation(False, offsets))
        atomic = in_place if self.donates_state else computes.compile(step, 2, Donation(True, offsets))
        self._steps = in_place, atomic

    @property
    def xp(self) -> Namespace:
        """The namespace of layers, loss and optimizer."""
        return self._computes.xp

    @classmethod
    def initialize(
        cls,
        backend: Backend,
        model: FunctionalModel,
        optimizer: Optimizer,
        dtype: str,
        seed: int,
        arithmetic: str = "fast",
    ) -> "Runtime":
        """Return a runtime with freshly drawn parameters."""
        state = State(*model.architecture.initial_vectors(seed), _init_opt_state(model, optimizer))
        adapted = not any(as_preprocessing(layer).adapts_to for layer in model.architecture.layers)
        return cls(backend, model, optimizer, dtype, seed, state, adapted=adapted, arithmetic=arithmetic)

    @locked
    def optimize_by(self, optimizer: Optimizer) -> None:
        """Replace the optimizer; its state vectors are kept if they fit, else initialised."""
        previous, self.optimizer = self.optimizer, optimizer
        if replace(previous, learning_rate=0) == replace(optimizer, learning_rate=0):
            self.chain = optimizer.chain()  # compiled functions take the rate as an argument
            return
        if type(optimizer) is not type(previous) or optimizer.chain().state_names != self.chain.state_names:
            opt_state = tuple(self._owned(vector) for vector in _init_opt_state(self.model, optimizer))
            self.state, self.counters = self.state._replace(opt_state=opt_state), self.counters._replace(update=0)
        self._bind()

    def inputs(
        self, x: Array, check: bool = False, name: str = "x", columns: Names = None, waits: bool = True, first: int = 0
    ) -> Array:
        """Return x, of the backend or of NumPy, preprocessed; the other arguments are the ``Preprocessor``'s."""
        return self.flush_denormals(self._preprocess(x, name, check, columns, waits, first))

    def _preprocessor(self) -> Preprocessor:
        """Return the preprocessor for the present buffers."""
        return Preprocessor(self.backend, self.model.architecture.layers[0], self.layer_buffers(0), self.dtype)

    @locked
    def assign(self, values: Mapping[str, object], argument: str = "parameters") -> None:
        """Set the named parameters and buffers; others stay. An error changes nothing."""
        super().assign(values, argument)
        self._preprocess = self._preprocessor()

    # ---- computation

    def _key(self) -> random.Key:
        return random.key(self.seed, self.counters.step)

    @property
    def key(self) -> random.Key:
        """The key of the next step's random bits."""
        return self._key()

    @property
    def hyperparams(self) -> ChainHyperparams:
        """The optimizer's host numbers of the next step."""
        return self.chain.hyperparams(self.counters.update + 1)

    def step(self, batch: Batch, donate: bool = True) -> Array:
        """Take one training step; return the loss before the step, an unread 0-d array.

        By default the old state's memory is reused, which is fast. Pass ``donate=False`` if there is no snapshot to
        restore: then a failing step leaves the state unchanged, except where the library itself stops halfway (out of
        memory).
        """
        if batch[0].shape[0] < self._min_batch_size:
            self.check_rows(batch[0].shape[0], "x")
        with self.lock:
            previous, done = self.state, self.counters
            state, loss = self._steps[not donate](
                self.xp, self._updates[not donate], previous, batch, self._key, self.hyperparams
            )
            if state.parameters.dtype != self._state_dtype:
                raise dtype_promotion_error(state.parameters.dtype, self._state_dtype)
            done = Counters(done.step + 1, done.epoch, done.update + 1)
            # No call separates the two assignments: an interrupt comes before both or after both.
            self.state, self.counters = state, done
            return loss

    def begin_sharing(self, comm: Communicator) -> None:
        """Prepare steps of which other processes have the other parts; all of them call it."""
        with self.backend.scope():
            self._shared.begin(comm)

    def shared_step(self, batch: Batch, part: Part) -> Array:
        """Take one training step on a batch of which other processes have the other parts; return the batch's loss."""
        self.check_rows(part.rows, "x")
        with self.lock, self.backend.scope():
            loss, gradient, buffers = self._shared(self.xp, self.state, batch, self._key(), part)
            update, done = self._updates[not self.donates_state], self.counters
            parameters, opt_state = update(
                self.xp, self.state.parameters, gradient, self.state.opt_state, self.hyperparams
            )
            state, previous = State(parameters, buffers, opt_state), self.state
            if all(new is old for new, old in zip(leaves(state), leaves(previous), strict=True)):
                state = previous  # overwritten: programs are bound to it
            self.state, self.counters = state, Counters(done.step + 1, done.epoch, done.update + 1)
            return loss

    def check_rows(self, rows: int, argument: str) -> None:
        """Refuse a last batch that has too few rows for a layer (BatchNorm: 2)."""
        if rows < self._min_batch_size:
            raise ShapeError(
                f"{argument}: expected batches of at least {self._min_batch_size} rows to train on; got a last batch "
                f"of {rows}"
            )

    def end_epoch(self) -> None:
        """Increment the number of epochs."""
        self.counters = self.counters._replace(epoch=self.counters.epoch + 1)

    def finite(self) -> Array:
        """Return whether the whole state is finite: 1 or 0, a 0-d array of the network's dtype, not yet read."""
        xp, (parameters, buffers, opt_state) = self.backend.xp, self.state
        finite = xp.all(xp.isfinite(parameters))
        for vector in (buffers, *opt_state) if self.model.buffers.size else opt_state:
            finite = finite & xp.all(xp.isfinite(vector))
        return xp.astype(finite, self._state_dtype)

    def updated(
        self,
        xp: Namespace,
        parameters: Array,
        gradient: Array,
        opt_state: Sequence[Array],
        hyperparams: ChainHyperparams,
    ) -> tuple[Array, tuple[Array, ...]]:
        """Return the optimizer's (parameters, opt_state) for a gradient, as in a fit; the state is unchanged."""
        return self._updates[0](
            xp, self.backend.copy(parameters), gradient, tuple(map(self.backend.copy, opt_state)), hyperparams
        )

    @locked
    def gradients(self, batch: Batch) -> tuple[Array, dict[str, Array]]:
        """Return (loss, {parameter: gradient}), with the random bits of the next step."""
        loss, vector = self._gradients(self.xp, self.state, batch, self._key)
        return loss, self.model.parameters.by_name(self.xp, vector)

    @locked
    def forward(self, x: Array, rows: int | None = None) -> Array:
        """Return the outputs, computed in batches of at most ``rows`` rows; None: in one batch."""
        if rows is None or x.shape[0] <= rows:
            return self._forward(self.xp, self.state, x)
        with self.backend.scope():
            parts = [
                self._forward(self.xp, self.state, x[i : min(i + rows, x.shape[0]), ...])
                for i in range(0, x.shape[0], rows)
            ]
            return self.backend.xp.concat(parts)

    def evaluate(self, source: DataSource, metrics: Mapping[str, Metric]) -> dict[str, float]:
        """Return {"loss": ..., metric: ...}; metrics get the original targets, and predictions in float64."""
        losses: list[Array] = []
        outputs: list[np.ndarray] = []
        targets: list[np.ndarray] = []
        weights: list[np.ndarray] = []
        rows = 0
        for part in source.sources():
            # Not across batches: a thread that produces batches may call the network.
            with self.lock:
                for x, y, weight in part.batches(self.backend, PREDICT_ROWS, None, mean=False):
                    loss, output = self._evaluate(self.xp, self.state, (x, y, weight))
                    losses.append(loss)
                    rows += x.shape[0]
                    if metrics:
                        outputs.append(self.backend.to_numpy(output))
                        targets += [self.backend.to_numpy(y)] if part.exact_y is None else []
                        weights += [] if isinstance(weight, float) else [self.backend.to_numpy(weight[:, 0])]
            if metrics and part.exact_y is not None:
                exact = np.asarray(to_host(self.backend, part.exact_y), np.float64)
                targets.append(exact.reshape(part.rows, -1))
        loss = sum(self.backend.read(losses)) / (rows if self.model.loss.mean else 1)
        if not metrics:
            return {"loss": loss}
        predictions, y = self._predictions(np.concatenate(outputs)), np.concatenate(targets)
        sample_weight = [np.concatenate(weights)] if weights else []
        return {"loss": loss, **{name: metric(predictions, y, *sample_weight) for name, metric in metrics.items()}}

    def compared(self, of_labels: bool) -> Compared:
        """Return the properties of outputs and targets that decide which metrics apply."""
        architecture = self.model.architecture
        return Compared(of_labels, architecture.output, self.model.loss.pair, architecture.outputs)

    def _predictions(self, outputs: np.ndarray) -> np.ndarray:
        """Return the outputs of ``FunctionalModel.evaluate`` as predictions, (rows, outputs), on the host.

        A last layer that scales the outputs is computed in float64; then comes the loss's inverse link.
        """
        layers = self.model.architecture.layers
        if self.model.architecture.rescales_outputs:
            weights, x = self.layer_buffers(len(layers) - 1), outputs.astype(np.float64)
            outputs = Forward.of(layers[-1].forward(np, weights, x, ForwardContext(training=False))).output
        link = self.model.loss.inverse_link
        return outputs if link is None else link(np, outputs.astype(np.float64))

    def classes(self, outputs: Array) -> Array:
        """Return int32 labels, (rows,): the largest of several outputs, or whether a single one exceeds 1/2."""
        xp = self.backend.xp
        labels = outputs[:, 0] > 0.5 if outputs.shape[1] == 1 else xp.argmax(outputs, axis=1)
        return xp.astype(labels, xp.int32)


def _step(
    model: FunctionalModel,
    flush: Callable[[Array], Array],
    xp: Namespace,
    update: Update,
    state: State,
    batch: Batch,
    key: random.Key,
    hyperparams: Any,
) -> tuple[State, Array]:
    """Return (new state, loss) of a training step; ``flush`` is applied to new buffers, as kernels do it themselves."""
    new, loss = model.step(xp, update, state, batch, key, hyperparams)
    return new if new.buffers is state.buffers else new._replace(buffers=flush(new.buffers)), loss


def _init_opt_state(model: FunctionalModel, optimizer: Optimizer) -> tuple[np.ndarray, ...]:
    """Return the optimizer's initial state vectors."""
    return tuple(np.zeros(model.parameters.size) for _ in optimizer.chain().state_names)
