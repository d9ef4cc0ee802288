"""The fit loop: epochs and batches around the runtime's step, and calls to the callbacks."""

import operator
import sys
import time
from collections.abc import Mapping
from itertools import islice
from typing import Any

from portnn.distributed import Communicator, InterruptedTogether, check_bits
from portnn.errors import DivergenceError
from portnn.interrupts import Deferred, defer_keyboard_interrupt
from portnn.model.shared import Part
from portnn.nn import random
from portnn.train.callbacks import CallbackList
from portnn.train.fit_state import FitState
from portnn.train.history import Event, History
from portnn.train.progress import progress_bar
from portnn.types import Batch


def _bar(run: FitState, progress: bool | str | None, steps: int | None) -> Any:
    """Return the progress bar of a fit, which may go on from a checkpoint."""
    total = None if steps is None else run.epochs * steps
    return progress_bar(progress, total, run.done * (steps or 0) + len(run.losses))


def train(run: FitState, callbacks: CallbackList, progress: bool | str | None) -> History:
    """Train from the present state to the end of the fit; see NeuralNetwork.fit."""
    runtime, data, history = run.runtime, run.data, run.history
    size = run.batch_size or 0
    if data.rows is not None:
        size = min(size or data.rows, data.rows)
        runtime.check_rows(data.rows % size or size, "batch_size")
    steps = data.steps(size)
    started = time.perf_counter() - history.seconds
    with defer_keyboard_interrupt() as deferred, _bar(run, progress, steps) as bar:
        pause = _Pause(run, callbacks, deferred)
        while run.should_continue():
            _run_epoch(run, callbacks, size, steps, bar, pause)
            history.seconds = time.perf_counter() - started
            if run.ended:
                pause()
                break
            measured = _finish_epoch(run)
            history.seconds = time.perf_counter() - started
            _show(run, measured, progress, bar)
            callbacks.epoch(_event(run, history.loss[-1], measured))
            run.ended = run.any_ended()
            pause()
    return history


def _run_epoch(run: FitState, callbacks: CallbackList, size: int, steps: int | None, bar: Any, pause: "_Pause") -> None:
    """Run the remaining steps of an epoch; NeuralNetwork.fit documents the state after errors."""
    runtime, data = run.runtime, run.data
    backup, n_before, is_complete = runtime.snapshot(), len(run.losses), True
    order = None
    if run.shuffle and data.rows is not None and steps != 1:
        rng = random.generator(runtime.seed, random.SHUFFLE, runtime.counters.epoch)
        order = runtime.backend.asarray(rng.permutation(data.rows))
    try:
        batches = data.batches(runtime.backend, size, order, runtime.model.loss.mean, run.share)
        for batch in islice(batches, n_before, None):
            is_complete = False
            loss, rows = _step(run, batch, pause)
            run.losses.append(loss)
            run.sizes.append(rows)
            is_complete = True
            bar.update()
            if callbacks.of_steps:
                callbacks.step(_event(run, run.losses[-1], {}))
                run.ended = run.any_ended()
            if run.ended:
                break
            pause()
    except BaseException:
        # A step that fails may have overwritten its state; those before an interrupt may have diverged.
        if not is_complete or run.nonfinite_reason():
            _roll_back(run, backup, n_before)
        raise
    if reason := run.nonfinite_reason():
        _roll_back(run, backup, n_before)
        restored_to = "checkpoint" if n_before else "start of the epoch"
        raise DivergenceError(
            f"{reason}. The network is as it was at the {restored_to} (step {runtime.counters.step}); a "
            f"smaller learning_rate than {runtime.optimizer.rate(runtime.counters.update):g} may help"
        )


class _Pause:
    """Between two steps: raises a Ctrl-C that came. Several processes raise one after the same step."""

    def __init__(self, run: FitState, callbacks: CallbackList, deferred: Deferred) -> None:
        self._run, self._callbacks, self._deferred, self._of_all = run, callbacks, deferred, False

    def gather(self, comm: Communicator, rows: int) -> list[int]:
        """Return each process's number of rows; learn whether one of them was interrupted."""
        counts, pending = zip(*comm.all_gather((rows, self._deferred.pending)), strict=True)
        self._of_all = any(pending)
        return list(counts)

    def __call__(self) -> None:
        try:
            if self._run.comm is None:
                self._deferred()
            elif self._of_all:
                raise InterruptedTogether
        except KeyboardInterrupt:
            self._callbacks.interrupted()
            raise


def _step(run: FitState, batch: Batch, pause: _Pause) -> tuple[Any, int]:
    """Take a step; return the batch's loss and number of rows, those of the other processes included."""
    rows = int(batch[0].shape[0])
    if run.comm is None:
        return run.runtime.step(batch), rows
    counts = pause.gather(run.comm, rows)
    row = sum(counts[: run.comm.rank])
    return run.runtime.shared_step(batch, Part(row, sum(counts), run.comm)), sum(counts)


def _finish_epoch(run: FitState) -> Mapping[str, float]:
    """Finish an epoch: append its loss and metrics to the history; return the metrics."""
    history, mean = run.history, run.runtime.model.loss.mean
    weights = run.sizes if mean else [1] * len(run.sizes)
    history.loss.append(sum(map(operator.mul, run.losses, weights)) / (sum(run.sizes) if mean else 1))
    run.losses, run.sizes, run.done = [], [], run.done + 1
    run.runtime.end_epoch()
    measured = _measure(run)
    if run.comm is not None:
        measured = run.comm.broadcast(measured)
        check_bits(run.comm, run.runtime.fingerprint(), run.done)
    for name, value in measured.items():
        history.metrics.setdefault(name, []).append(value)
    return measured


def _show(run: FitState, measured: Mapping[str, float], progress: bool | str | None, bar: Any) -> None:
    """Print a line for an epoch, or show its measurements beside the bar."""
    shown = {k: f"{v:.4g}" for k, v in {"loss": run.history.loss[-1], **measured}.items()}
    if progress == "log":
        figures = ", ".join(f"{name} {value}" for name, value in shown.items())
        print(f"epoch {run.done} of {run.epochs}: {figures}, {run.history.seconds:.1f} s", file=sys.stderr)
    elif not bar.disable:
        bar.set_postfix(shown, refresh=False)


def _event(run: FitState, loss: Any, measured: Mapping[str, float]) -> Event:
    counters = run.runtime.counters
    return Event(counters.epoch, counters.step, loss, measured, run.history)


def _roll_back(run: FitState, backup: Any, losses: int) -> None:
    run.runtime.restore(backup)
    del run.losses[losses:], run.sizes[losses:]


def _measure(run: FitState) -> Mapping[str, float]:
    measured: dict[str, float] = {}
    if run.metrics:
        measured |= run.runtime.evaluate(run.data, run.metrics)
        del measured["loss"]  # the history has the training loss
    if run.validation is not None:
        measured |= {f"validation_{k}": v for k, v in run.runtime.evaluate(run.validation, run.metrics).items()}
    return measured
