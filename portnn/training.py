"""The fit loop: epochs and batches around the runtime's step."""

import math
import operator
import os
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from portnn import plot
from portnn.core.runtime import Runtime
from portnn.data.dataset import Source
from portnn.errors import DivergenceError
from portnn.interrupts import interrupt_held
from portnn.nn import random


@dataclass
class History:
    """What a fit measured, one value per epoch."""

    loss: list[float] = field(default_factory=list)
    """Training loss: the mean over the epoch's rows (a sum for sse), each batch before its step."""
    metrics: dict[str, list[float]] = field(default_factory=dict)
    """The metrics asked for, at the end of each epoch; of the validation data as ``validation_loss`` and so on."""
    seconds: float = 0.0

    def plot(self, path: str | os.PathLike[str] | None = None, *, log: bool = False) -> Any:
        """Draw the loss (and the validation loss) over epochs; save it as ``path`` if one is given."""
        series = {"training": self.loss}
        if "validation_loss" in self.metrics:
            series["validation"] = self.metrics["validation_loss"]
        return plot.curves(series, path, log=log)


class Event(NamedTuple):
    """Where a fit is, as callbacks are told."""

    epoch: int
    """Epochs finished since the network was made."""
    step: int
    """Steps taken since then."""
    loss: Any
    """After an epoch its training loss; after a step that of its batch, a 0-d array that nobody has waited for."""
    metrics: Mapping[str, float]
    """What was measured after the epoch; empty after a step."""
    history: History
    """Of this fit, up to here."""


Hook = Callable[[Event], bool]
"""Is told of each epoch or step; true ends the training there, with the network as it is."""


def _bar(progress: bool | None, steps: int) -> Any:
    from tqdm import tqdm

    shown = sys.stderr.isatty() if progress is None else progress
    # Unasked, it appears only on work of over a second.
    return tqdm(total=steps, disable=not shown, delay=0 if progress else 1, unit="step", leave=bool(progress))


def fit(
    runtime: Runtime,
    data: Source,
    validation: Source | None,
    *,
    epochs: int,
    batch_size: int | None,
    shuffle: bool,
    metrics: Sequence[str],
    progress: bool | None,
    after_epoch: Hook | None,
    after_step: Hook | None,
) -> History:
    """Train on checked data; see NeuralNetwork.fit."""
    history = History()
    xp, mean = runtime.backend.xp, runtime.core.loss.mean
    size = min(batch_size or data.rows, data.rows)
    runtime.check_rows(data.rows % size or size, "batch_size")
    started = time.perf_counter()
    steps = -(-data.rows // size)
    with interrupt_held() as release, _bar(progress, epochs * steps) as bar:
        for _ in range(epochs):
            backup = runtime.snapshot()
            order = None
            if shuffle and steps > 1:
                rng = random.generator(runtime.seed, random.SHUFFLE, runtime.counters.epoch)
                order = runtime.backend.asarray(rng.permutation(data.rows))
            losses, rows, whole, ended = [], [], True, False
            try:
                for batch in data.batches(xp, size, order, mean):
                    whole = False
                    losses.append(runtime.step(batch))
                    whole = True
                    rows.append(batch[0].shape[0])
                    bar.update()
                    if after_step and after_step(_event(runtime, losses[-1], {}, history)):
                        ended = True
                        break
                    release()
            except BaseException:
                # A step that fails may have consumed its state; those before an interrupt may have diverged.
                if not whole or _diverged(runtime, _read(runtime, losses)):
                    runtime.restore(backup)
                raise
            values = _read(runtime, losses)
            if ended and not _diverged(runtime, values):
                release()
                break
            if found := _diverged(runtime, values):
                runtime.restore(backup)
                raise DivergenceError(
                    f"{found}. The network is as it was at the start of the epoch (step {runtime.counters.step}); a "
                    f"smaller learning_rate than {runtime.optimizer.rate(runtime.counters.update):g} may help"
                )
            weights = rows if mean else [1] * steps
            history.loss.append(sum(map(operator.mul, values[:-1], weights)) / (data.rows if mean else 1))
            runtime.end_epoch()
            measured = _measure(runtime, data, validation, metrics)
            for name, value in measured.items():
                history.metrics.setdefault(name, []).append(value)
            history.seconds = time.perf_counter() - started
            if not bar.disable:
                shown = {"loss": history.loss[-1], **measured}
                bar.set_postfix({k: f"{v:.4g}" for k, v in shown.items()}, refresh=False)
            ended = after_epoch is not None and after_epoch(_event(runtime, history.loss[-1], measured, history))
            release()
            if ended:
                break
    return history


def _event(runtime: Runtime, loss: Any, measured: Mapping[str, float], history: History) -> Event:
    return Event(runtime.counters.epoch, runtime.counters.step, loss, measured, history)


def _read(runtime: Runtime, losses: list[Any]) -> list[float]:
    """Return the losses, and whether the state after them is finite: the epoch's one wait for the device."""
    return runtime.backend.read([*losses, runtime.finite()])


def _diverged(runtime: Runtime, values: list[float]) -> str:
    """Return what stopped being finite in what ``_read`` returned, and where; empty where all is well.

    A loss precedes its step: what the last step did shows in the state alone.
    """
    *losses, finite = values
    for i, value in enumerate(losses):
        if not math.isfinite(value):
            step = runtime.counters.step - len(losses) + i + 1
            return f"loss: expected finite values; got {value} at step {step}"
    if not finite:
        return f"parameters: expected finite values; got NaN or infinity by step {runtime.counters.step}"
    return ""


def _measure(runtime: Runtime, data: Source, validation: Source | None, metrics: Sequence[str]) -> Mapping[str, float]:
    measured: dict[str, float] = {}
    if metrics:
        measured |= runtime.evaluate(data, metrics)
        del measured["loss"]  # the training loss is the history's own
    if validation is not None:
        measured |= {f"validation_{k}": v for k, v in runtime.evaluate(validation, metrics).items()}
    return measured
