"""Training: fit, a single step, gradients."""

import logging
import os
from collections.abc import Sequence

from portnn.data.arrays import array_signature
from portnn.data.batches import as_batches
from portnn.data.dataset import Dataset
from portnn.data.labels import with_targets
from portnn.errors import ArgumentError, DivergenceError
from portnn.interrupts import defer_keyboard_interrupt
from portnn.metrics.selection import MetricLike, resolve_metrics
from portnn.model.pipeline import DataPipeline
from portnn.model.runtime import Runtime
from portnn.network.base import NetworkBase
from portnn.optim.schedules import Schedule
from portnn.options import as_python, check_positive_int
from portnn.train import loop as training
from portnn.train.callbacks import CallbackLike, CallbackList
from portnn.train.checkpoint import Checkpoint
from portnn.train.fit_state import FitState
from portnn.train.history import History
from portnn.types import Array, Batch

_log = logging.getLogger("portnn")


class Training(NetworkBase):
    """How a network is trained."""

    def fit(
        self,
        x: object,
        y: object = None,
        *,
        epochs: int = 1,
        batch_size: int | None = 32,
        shuffle: bool = True,
        validation: float | tuple[object, object] | None = None,
        metrics: Sequence[MetricLike] = (),
        callbacks: Sequence[CallbackLike] = (),
        sample_weight: object = None,
        checkpoint: str | os.PathLike[str] | Checkpoint | None = None,
        progress: bool | str | None = None,
    ) -> History:
        """Train for ``epochs`` passes over the data.

        ``x`` is (rows, features), ``y`` (rows, outputs), (rows,) for one output, or integer labels, (rows,), for
        cross_entropy. Texts, and what a column of categories or objects holds, are class labels for cross_entropy and
        binary_cross_entropy (``classes``); for other losses each must be a number. Rows for which a data frame's column
        of targets has no value are left out, and counted in the log. Without ``y``, ``x`` is batches, (x, y) or (x, y,
        weight): a list, a loader, or a function that makes an iterator; they are taken as they come
        (portnn/data/batches.py).

        ``batch_size=None`` is the full batch. ``validation`` is a share of the rows, held out at random (of each class
        alike), (x, y), or batches. ``metrics``: names, Metrics (portnn/metrics) or functions ``(outputs, y)`` of
        arrays on the host, measured after each epoch: of y as it came, and of what the outputs predict (for the loss
        poisson exp of them). ``sample_weight``: (rows,), or for class labels {label: weight} or "balanced", with which
        all classes count alike; the rows trained on and those held out are each weighted among themselves, in metrics
        too; the weights of batches count as they are. ``callbacks``: functions ``(network, event)`` that are told of
        each epoch, or Callbacks (portnn/callbacks.py); one that returns True ends the training. ``checkpoint``: a file
        that is written after each epoch (or as ``Checkpoint(path, steps=n)`` says), from which the same call goes on
        where it is there: it ends as if it had never been broken off (portnn/train/checkpoint.py).
        ``progress=None`` shows a bar on work of over a second, on a terminal or in a notebook; "log" prints a line an
        epoch. The columns of a data frame are remembered by name: later ones are taken in their order.

        Ctrl-C is held back to the end of the step: the network stays usable, and KeyboardInterrupt is raised.
        Raises ShapeError, DTypeError, DataError for data that cannot be used, before anything is changed;
        DivergenceError where loss or parameters stop being finite, with the network as at the start of the epoch.
        """
        epochs = check_positive_int("epochs", epochs)
        size = None if batch_size is None else check_positive_int("batch_size", batch_size)
        if progress not in (None, True, False, "log"):
            raise ArgumentError(f'progress: expected None, True, False or "log"; got {progress!r}')
        hooks = CallbackList(self, Checkpoint.last_of(checkpoint, callbacks))
        x, y, sample_weight = with_targets(x, y, sample_weight)
        if isinstance(validation, tuple) and len(validation) == 2:
            validation = with_targets(*validation, name="validation y")[:2]
        x, y, first = as_batches(x, y)
        pipeline = self._pipeline(*first, as_python(validation), complete=first[0] is x)
        if first[0] is not x:
            self._schema.refuse_learnt_from_one_batch(pipeline.schema)
        with pipeline.runtime.backend.scope():
            whole, rest = pipeline.split(x, y, sample_weight, validation, self._seed)
            pipeline = pipeline.adapt(whole)
            runtime, data = pipeline.runtime, pipeline.source(whole)
            held = None if rest is None else pipeline.source(rest)
            measured = resolve_metrics(metrics, runtime.compared(data.of_labels))
            if not all(runtime.backend.read([runtime.finite()])):
                raise DivergenceError("network: expected finite parameters to start from; got NaN or infinity")
            run, before = FitState(runtime, data, held, epochs, size, shuffle, measured), dict(vars(self))
            self._commit(pipeline)
            _say_that_nothing_moves(runtime)
            try:
                hooks.begin(run)
            except BaseException:
                vars(self).update(before)
                raise
            self.history = run.history
            training.train(run, hooks, progress)
            hooks.end()
            return run.history

    def prepared(self, x: object, y: object) -> tuple[Runtime, Dataset]:
        """Return the state and the checked data, in memory, that a fit would start from; nothing is changed."""
        pipeline = self._pipeline(x, y)
        with pipeline.runtime.backend.scope():
            checked = pipeline.check(x, y)
            pipeline = pipeline.adapt(checked)
            dataset = pipeline.source(checked)
            assert isinstance(dataset, Dataset)
            return pipeline.runtime, dataset

    def step(self, x: object, y: object) -> Array:
        """Take one training step on a batch; return the loss before it, an unread 0-d array.

        Checks shapes and dtypes, not values: that would wait for the device (``fit`` does, once). What ``Standardize``
        and its like know of the data they learn from the first batch, if no ``fit`` came before it. Ctrl-C comes
        before or after the step as a whole.
        """
        kinds = self._schema, array_signature(self._backend, x), array_signature(self._backend, y)
        pipeline = self._trained
        if pipeline is not None and kinds == self._checked_batch_signature and pipeline.runtime is self._runtime:
            return self._step(pipeline, pipeline.batch(x, self._schema.taken(self._backend, y)))
        pipeline = self._pipeline(x, y)
        with pipeline.runtime.backend.scope():
            data = pipeline.check(x, y, values=False)
            pipeline = pipeline.adapt(data)
            batch = pipeline.batch(data.x, data.y)
        loss = self._step(pipeline, batch)
        schema = pipeline.schema
        kinds = schema, array_signature(self._backend, x), array_signature(self._backend, y)
        self._checked_batch_signature = (
            None if None in kinds or schema.classes is not None or schema.scales_bytes else kinds
        )
        return loss

    def _step(self, pipeline: DataPipeline, batch: Batch) -> Array:
        if not pipeline.runtime.donates_state:
            return self._stepped(pipeline, batch)
        with defer_keyboard_interrupt() as release:
            loss = self._stepped(pipeline, batch)
        release()
        return loss

    def _stepped(self, pipeline: DataPipeline, batch: Batch) -> Array:
        loss = pipeline.runtime.step(batch, keep=True)
        self._commit(pipeline)
        return loss

    def gradients(self, x: object, y: object) -> tuple[Array, dict[str, Array]]:
        """Return (loss, {parameter name: gradient}) of a batch, as the next step takes them; no state is changed."""
        pipeline = self._pipeline(x, y)
        with pipeline.runtime.backend.scope():
            data = pipeline.check(x, y, values=False)
            adapted = pipeline.adapt(data)
            loss, gradients = adapted.runtime.gradients(adapted.batch(data.x, data.y))
            self._commit(pipeline)
            return loss, gradients


def _say_that_nothing_moves(runtime: Runtime) -> None:
    """Log that a schedule is at its end, where its rate is 0 from here on."""
    update = runtime.counters.update
    if isinstance(runtime.optimizer.learning_rate, Schedule) and not any(
        map(runtime.optimizer.rate, (update, update + 1))
    ):
        _log.warning(
            "learning_rate: %s has come to its end, with a rate of 0: the fit changes nothing; set net.learning_rate",
            runtime.optimizer.learning_rate,
        )
