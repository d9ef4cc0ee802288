"""Training: fit, a single step, gradients."""

import logging
import os
from collections.abc import Sequence
from typing import Any

from portnn.data.arrays import array_signature
from portnn.data.batches import as_batches
from portnn.data.dataset import Dataset, DataSource
from portnn.data.labels import with_targets
from portnn.distributed import beginning_together, communicator_of, ending_together, watched
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
from portnn.train.ranks import meet
from portnn.types import Array, Batch

_log = logging.getLogger("portnn")


class Training(NetworkBase):
    """Training of networks."""

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
        distributed: Any = None,
    ) -> History:
        """Train for ``epochs`` passes over the data.

        Parameters
        ----------
        x : array, data frame, or batches
            (rows, features), of any library. Columns of a frame are remembered by name: later frames are taken in their
            order. Without ``y``: batches, (x, y) or (x, y, weight) each, as a list, a loader, or a function that makes
            an iterator; they are taken as they come (portnn/data/batches.py).
        y : array or column, optional
            (rows, outputs); (rows,) for one output; or class labels, (rows,), for the losses cross_entropy and
            binary_cross_entropy: integers from 0, or texts and the values of a column of categories (``classes``). Rows
            of a frame without a target are left out, and counted in the log.
        epochs : int
            Passes over the data.
        batch_size : int or None
            Rows of a batch; None: the full batch.
        shuffle : bool
            Whether each epoch takes the rows in another order, drawn from the seed.
        validation : float, (x, y) or batches, optional
            Share of the rows to hold out at random (of each class alike), or data of their own.
        metrics : sequence of str, Metric or callable
            Measured after each epoch, on the data and on the validation: names, objects of ``portnn.metrics``, or
            functions ``(outputs, y)`` of NumPy arrays. Outputs of the loss poisson are compared as exp(outputs).
        callbacks : sequence of callable or Callback
            Functions ``(network, event)``, called after each epoch, or objects of ``portnn.callbacks``. A return value
            of True ends the training.
        sample_weight : array, "balanced" or dict, optional
            (rows,); or, for class labels, {label: weight}, or "balanced": all classes count alike. Rows to train on and
            rows held out are each weighted among themselves, in metrics too.
        checkpoint : path or Checkpoint, optional
            A file that is written after each epoch (``Checkpoint(path, steps=n)``: after each n steps). The same call
            resumes from the file where it exists, and ends with the same bits as an uninterrupted one.
        progress : bool, "log" or None
            None: a progress bar on work of over a second, on a terminal or in a notebook. "log": a line per epoch.

        distributed : "mpi" or a communicator, optional
            Trains in several processes, which a launcher starts (``mpiexec -n 4 python train.py``): each takes a part
            of the rows of each batch, and all of them take the same steps. "mpi": all that the launcher started; or a
            communicator of mpi4py. All processes need the same data, options and seed. In one process, as without.

        Returns
        -------
        History
            Losses and metrics by epoch; also kept as ``history``.

        Raises
        ------
        ShapeError, DTypeError, DataError, ArgumentError
            For data and arguments that cannot be used, before anything is changed.
        DivergenceError
            If the loss or the parameters stop being finite; the network is as at the start of the epoch.
        KeyboardInterrupt
            After Ctrl-C, at the end of the step: the network is usable.
        DistributedError
            If another process could not begin, or has other weights after an epoch.

        Examples
        --------
        >>> import numpy as np
        >>> from portnn import NeuralNetwork
        >>> x = np.random.default_rng(0).random((100, 3))
        >>> y = x.sum(axis=1)
        >>> net = NeuralNetwork(3, 8, 1, seed=0, backend="numpy")
        >>> history = net.fit(x, y, epochs=5, validation=0.2, metrics=["mae"])
        >>> len(history.loss), sorted(history.metrics)
        (5, ['mae', 'validation_loss', 'validation_mae'])
        """
        epochs = check_positive_int("epochs", epochs)
        size = None if batch_size is None else check_positive_int("batch_size", batch_size)
        if progress not in (None, True, False, "log"):
            raise ArgumentError(f'progress: expected None, True, False or "log"; got {progress!r}')
        comm = communicator_of(distributed)
        with watched(comm), beginning_together(comm):
            x, y, sample_weight = with_targets(x, y, sample_weight)
            if isinstance(validation, tuple) and len(validation) == 2:
                validation = with_targets(*validation, name="validation y")[:2]
            pipeline, data, validation_data = self._sources(x, y, sample_weight, validation)
            runtime = pipeline.runtime
            measured = resolve_metrics(metrics, runtime.compared(data.of_labels))
            with runtime.backend.scope():
                if not all(runtime.backend.read([runtime.finite()])):
                    raise DivergenceError("network: expected finite parameters to start from; got NaN or infinity")
            hooks = CallbackList(self, Checkpoint.last_of(checkpoint, callbacks))
            run = FitState(runtime, data, validation_data, epochs, size, shuffle, measured, comm=comm)
        with watched(comm), runtime.backend.scope():
            attributes = dict(vars(self))
            self._commit(pipeline)
            _say_that_nothing_moves(runtime)
            try:
                with beginning_together(comm):
                    hooks.begin(run)
                if comm is not None:
                    meet(comm, self, run)
            except BaseException:
                vars(self).update(attributes)
                raise
            self.history = run.history
            with ending_together(comm):
                training.train(run, hooks, progress if run.is_first else False)
                hooks.end()
            return run.history

    def _sources(
        self, x: Any, y: Any, sample_weight: Any, validation: Any
    ) -> tuple[DataPipeline, DataSource, DataSource | None]:
        """Return the pipeline of a fit, and its sources of training and validation data; the network is unchanged."""
        x, y, sample = as_batches(x, y)
        pipeline = self._pipeline(*sample, as_python(validation), complete=sample[0] is x)
        if sample[0] is not x:
            self._schema.refuse_learnt_from_one_batch(pipeline.schema)
        with pipeline.runtime.backend.scope():
            training_data, validation_data = pipeline.split(x, y, sample_weight, validation, self._seed)
            pipeline = pipeline.adapt(training_data)
            source = pipeline.source(training_data)
            return pipeline, source, None if validation_data is None else pipeline.source(validation_data)

    def prepare(self, x: object, y: object) -> tuple[Runtime, Dataset]:
        """Return the state and the validated data from which a fit would start; the network is unchanged."""
        pipeline = self._pipeline(x, y)
        with pipeline.runtime.backend.scope():
            checked = pipeline.check(x, y)
            pipeline = pipeline.adapt(checked)
            dataset = pipeline.source(checked)
            assert isinstance(dataset, Dataset)
            return pipeline.runtime, dataset

    def step(self, x: object, y: object) -> Array:
        """Run one training step on a batch.

        Shapes and dtypes are checked, values are not: that would wait for the device (``fit`` checks them once). If
        ``fit`` was never called, preprocessing layers (``Standardize`` ...) take their statistics from this batch.
        Ctrl-C never leaves a half-applied step.

        Parameters
        ----------
        x, y : array
            As for ``fit``.

        Returns
        -------
        array
            The loss before the step, a 0-d array on the network's backend that nobody has waited for.

        Raises
        ------
        ShapeError, DTypeError, DataError

        Examples
        --------
        >>> from portnn import NeuralNetwork
        >>> net = NeuralNetwork(2, 4, 1, seed=0, backend="numpy")
        >>> loss = net.step([[0.0, 1.0], [1.0, 0.0]], [[1.0], [0.0]])
        >>> net.step_count
        1
        """
        signature = self._schema, array_signature(self._backend, x), array_signature(self._backend, y)
        if self._runtime is not None and signature == self._checked_batch_signature:
            pipeline = DataPipeline(self._schema, self._runtime)
            return self._step(pipeline, pipeline.batch(x, self._schema.convert_targets(self._backend, y)))
        pipeline = self._pipeline(x, y)
        with pipeline.runtime.backend.scope():
            data = pipeline.check(x, y, values=False)
            pipeline = pipeline.adapt(data)
            batch = pipeline.batch(data.x, data.y)
        loss = self._step(pipeline, batch)
        schema = pipeline.schema
        signature = schema, array_signature(self._backend, x), array_signature(self._backend, y)
        self._checked_batch_signature = (
            None if None in signature or schema.classes is not None or schema.scales_bytes else signature
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
        loss = pipeline.runtime.step(batch, donate=False)
        self._commit(pipeline)
        return loss

    def gradients(self, x: object, y: object) -> tuple[Array, dict[str, Array]]:
        """Return the loss of a batch and its gradients, as the next step computes them; the state is unchanged.

        Parameters
        ----------
        x, y : array
            As for ``fit``.

        Returns
        -------
        loss : array
            0-d.
        gradients : dict of str to array
            The gradient of each parameter, by name, in the parameter's shape.

        Raises
        ------
        ShapeError, DTypeError, DataError

        Examples
        --------
        >>> from portnn import NeuralNetwork
        >>> net = NeuralNetwork(2, 4, 1, seed=0, backend="numpy")
        >>> loss, gradients = net.gradients([[0.0, 1.0]], [[1.0]])
        >>> {name: gradient.shape for name, gradient in gradients.items()}
        {'W1': (2, 4), 'b1': (4,), 'W2': (4, 1), 'b2': (1,)}
        """
        pipeline = self._pipeline(x, y)
        with pipeline.runtime.backend.scope():
            data = pipeline.check(x, y, values=False)
            adapted = pipeline.adapt(data)
            loss, gradients = adapted.runtime.gradients(adapted.batch(data.x, data.y))
            self._commit(pipeline)
            return loss, gradients


def _say_that_nothing_moves(runtime: Runtime) -> None:
    """Log that a schedule has ended, so that its rate is 0 from now on."""
    update = runtime.counters.update
    if isinstance(runtime.optimizer.learning_rate, Schedule) and not any(
        map(runtime.optimizer.rate, (update, update + 1))
    ):
        _log.warning(
            "learning_rate: %s has ended, with a rate of 0: the fit changes nothing; set net.learning_rate",
            runtime.optimizer.learning_rate,
        )
