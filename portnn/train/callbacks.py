"""Callbacks: functions and objects that a fit calls, and that can end it.

A function ``(network, event)`` is called after each epoch. An object has the method ``on_epoch_end``, and
``on_train_batch_end`` for each step; a ``Callback`` has more. A return value of True ends the training. The network may
be saved, evaluated or given another learning rate meanwhile.
"""

import math
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import KW_ONLY, dataclass, field, fields, is_dataclass, replace
from pathlib import Path
from typing import Any, ClassVar, TypeAlias

from portnn.deprecated import RenamedMembers, warn_renamed
from portnn.errors import ArgumentError
from portnn.io.files import write_atomically
from portnn.optim.schedules import Schedule
from portnn.options import CoerceScalarsMeta, as_python, check_positive_int, check_range, lookup
from portnn.train.fit_state import FitState
from portnn.train.history import Event

Network: TypeAlias = Any
"""A NeuralNetwork: it stands above this module."""


_RENAMED = {
    "begin": "on_train_begin",
    "end": "on_train_end",
    "epoch": "on_epoch_end",
    "interrupted": "on_interrupt",
    "step": "on_train_batch_end",
}


class Callback(RenamedMembers, metaclass=CoerceScalarsMeta):
    """Base of callbacks with options and state.

    In a dataclass, the fields that ``__init__`` does not take are the state, which a checkpoint saves: numbers, and
    arrays by name.

    Examples
    --------
    >>> from portnn import NeuralNetwork
    >>> from portnn.callbacks import Callback
    >>> class Patience(Callback):
    ...     def on_epoch_end(self, network, event):
    ...         return event.epoch == 2
    >>> net = NeuralNetwork(2, 1, seed=0, backend="numpy")
    >>> len(net.fit([[0.0, 1.0], [1.0, 0.0]], [0.0, 1.0], epochs=9, callbacks=[Patience()]).loss)
    2
    """

    run: FitState
    """The current fit."""
    _renamed: ClassVar[Mapping[str, str]] = _RENAMED

    def on_train_begin(self, network: Network, run: FitState) -> None:
        """Validate options and reset the state, before training."""
        self.run = run
        if is_dataclass(self):
            self.state = replace(self).state  # type: ignore[unreachable]

    def on_epoch_end(self, network: Network, event: Event) -> bool | None:
        """Act after each epoch; a return value of True ends the training."""
        return None

    def on_train_end(self, network: Network) -> None:
        """Act at the end of the training, by itself or by a callback."""

    def on_interrupt(self, network: Network) -> None:
        """Act after Ctrl-C, before KeyboardInterrupt is raised."""

    @property
    def state(self) -> dict[str, Any]:
        """State between epochs."""
        return {f.name: getattr(self, f.name) for f in fields(self) if not f.init} if is_dataclass(self) else {}

    @state.setter
    def state(self, values: Mapping[str, Any]) -> None:
        for name, value in values.items():
            setattr(self, name, value)


CallbackLike: TypeAlias = Callback | Callable[[Network, Event], bool | None]


@dataclass
class MonitorCallback(Callback):
    """Base of callbacks that wait for an improvement of ``monitor``.

    ``monitor``: "loss", or the name of a metric such as "validation_loss"; a change of at most ``min_delta`` is no
    improvement. ``mode``: "min" or "max"; "auto": the metric's direction (a function's attribute ``greater_is_better``,
    else ArgumentError), and "min" for a loss.
    """

    monitor: str = "loss"
    _: KW_ONLY
    patience: int = 10
    min_delta: float = 0.0
    mode: str = "auto"
    _best: float = field(default=math.nan, init=False, repr=False)
    _waited: int = field(default=0, init=False, repr=False)

    def __post_init__(self) -> None:
        check_positive_int("patience", self.patience)
        check_range("min_delta", self.min_delta)
        lookup("mode", self.mode, dict.fromkeys(("auto", "min", "max")))

    def on_train_begin(self, network: Network, run: FitState) -> None:
        super().on_train_begin(network, run)
        names = ["loss", *run.metrics]
        if run.validation is not None:
            names += [f"validation_{name}" for name in names]
        lookup("monitor", self.monitor, dict.fromkeys(names))
        metric = run.metrics.get(self.monitor.removeprefix("validation_"))
        if self.mode == "auto" and metric is not None and metric.greater_is_better is None:
            raise ArgumentError(
                f'mode: expected "min" or "max" for {self.monitor!r}, whose better direction is unknown: give '
                f"mode, or the function's attribute greater_is_better"
            )

    def better(self, event: Event) -> bool:
        """Record an epoch; return whether it is the best so far."""
        value = float({"loss": event.loss, **event.metrics}[self.monitor])
        metric = self.run.metrics.get(self.monitor.removeprefix("validation_"))
        rising = self.mode == "max" or (self.mode == "auto" and metric is not None and bool(metric.greater_is_better))
        gain = value - self._best if rising else self._best - value
        if gain > self.min_delta or (math.isnan(self._best) and not math.isnan(value)):
            self._best, self._waited = value, 0
            return True
        self._waited += 1
        return False


@dataclass
class EarlyStopping(MonitorCallback):
    """Ends the training when ``monitor`` has not improved for ``patience`` epochs.

    At the end, also of a complete training and on Ctrl-C, the parameters and buffers of the best epoch are restored,
    unless ``restore_best`` is False. Raises ArgumentError if ``monitor`` is not measured.

    Parameters
    ----------
    monitor : str
    patience : int
        Epochs without a better value.
    min_delta : float
        Change that counts as better.
    mode : {"auto", "min", "max"}
    restore_best : bool

    Examples
    --------
    >>> import numpy as np
    >>> from portnn import NeuralNetwork
    >>> from portnn.callbacks import EarlyStopping
    >>> x = np.random.default_rng(0).random((40, 2))
    >>> net = NeuralNetwork(2, 1, learning_rate=0.0, seed=0, backend="numpy")  # nothing changes
    >>> history = net.fit(x, x[:, 0], epochs=99, validation=0.5, callbacks=[EarlyStopping(patience=3)])
    >>> len(history.loss)
    4
    """

    monitor: str = "validation_loss"
    _: KW_ONLY
    restore_best: bool = True
    _weights: dict[str, Any] = field(default_factory=dict, init=False, repr=False)

    def on_epoch_end(self, network: Network, event: Event) -> bool:
        if self.better(event) and self.restore_best:
            runtime = self.run.runtime
            tensors = runtime.parameters() | runtime.buffers()
            self._weights = {name: runtime.backend.to_numpy(array) for name, array in tensors.items()}
        return self._waited >= self.patience

    def on_train_end(self, network: Network) -> None:
        if self._weights:
            self.run.runtime.assign(self._weights)

    def on_interrupt(self, network: Network) -> None:
        self.on_train_end(network)


@dataclass
class ReduceOnPlateau(MonitorCallback):
    """Multiplies the learning rate by ``factor`` when ``monitor`` has not improved for ``patience`` epochs.

    The rate stays above ``min_lr``. Raises ArgumentError if the rate is a schedule, or ``monitor`` is not measured.

    Parameters
    ----------
    monitor : str
    patience : int
    factor : float
        In [0, 1).
    min_delta : float
    min_lr : float
    mode : {"auto", "min", "max"}

    Examples
    --------
    >>> from portnn import NeuralNetwork
    >>> from portnn.callbacks import ReduceOnPlateau
    >>> net = NeuralNetwork(1, 1, learning_rate=1e-9, seed=0, backend="numpy")
    >>> _ = net.fit([[0.0], [1.0]], [0.0, 1.0], epochs=4, callbacks=[ReduceOnPlateau(patience=3, factor=0.5)])
    >>> net.learning_rate
    5e-10
    """

    _: KW_ONLY
    factor: float = 0.1
    min_delta: float = 1e-4
    min_lr: float = 0.0

    def __post_init__(self) -> None:
        super().__post_init__()
        check_range("factor", self.factor, 0.0, 1.0)
        check_range("min_lr", self.min_lr)

    def on_train_begin(self, network: Network, run: FitState) -> None:
        super().on_train_begin(network, run)
        if isinstance(run.runtime.optimizer.learning_rate, Schedule):
            raise ArgumentError("learning_rate: expected a number to reduce; got a schedule")

    def on_epoch_end(self, network: Network, event: Event) -> None:
        if not self.better(event) and self._waited >= self.patience:
            self._waited = 0
            network.learning_rate = max(network.learning_rate * self.factor, self.min_lr)


@dataclass
class CSVLogger(Callback):
    """Writes the history as CSV, atomically after each epoch: epoch, loss and all metrics.

    An existing file must begin with the same lines, as that of the same interrupted training does; another file is
    refused with ArgumentError.

    Parameters
    ----------
    path : str or os.PathLike

    Examples
    --------
    >>> import os, tempfile
    >>> from portnn import NeuralNetwork
    >>> from portnn.callbacks import CSVLogger
    >>> net = NeuralNetwork(1, 1, seed=0, backend="numpy")
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     _ = net.fit([[0.0], [1.0]], [0.0, 1.0], epochs=2, callbacks=[CSVLogger(os.path.join(folder, "run.csv"))])
    ...     with open(os.path.join(folder, "run.csv")) as file:
    ...         print(file.readline().strip())
    epoch,loss
    """

    path: str | os.PathLike[str]

    def on_epoch_end(self, network: Network, event: Event) -> None:
        if not self.run.is_first:
            return
        arrays, n_before = event.history.arrays(), event.epoch - len(event.history.loss)
        columns = arrays["epoch"] + n_before, *list(arrays.values())[1:]
        rows = zip(*(values.tolist() for values in columns), strict=True)
        text = "".join(",".join(map(str, row)) + "\n" for row in (arrays, *rows))
        path = Path(self.path)
        if len(event.history.loss) == 1 and path.exists():
            existing = path.read_text(encoding="utf-8")
            if not (existing.startswith(text) or text.startswith(existing)):
                raise ArgumentError(
                    f"path: expected a history of this training; {path} holds something else: remove it, or name "
                    f"another file"
                )
        write_atomically(path, text.encode())


def _method(callback: Any, old: str) -> Any:
    """Return a callback's method by its new name, or by its old one with a warning; None without either."""
    new = getattr(callback, _RENAMED[old], None)
    if new is None and (not isinstance(callback, RenamedMembers) or old in vars(callback)):
        new = getattr(callback, old, None)
        if callable(new):  # an option may bear that name
            warn_renamed(f"{type(callback).__name__}.{old}", _RENAMED[old])
    return new if callable(new) else None


class CallbackList:
    """The callbacks of one fit: each is called, whatever the others return."""

    def __init__(self, network: Network, callbacks: Sequence[CallbackLike]) -> None:
        """``callbacks``: functions and objects. Raises ArgumentError for anything else."""
        epochs, steps = ([_method(callback, name) for callback in callbacks] for name in ("epoch", "step"))
        for callback, epoch, step in zip(callbacks, epochs, steps, strict=True):
            if not (callable(callback) or epoch or step):
                raise ArgumentError(f"callbacks: expected functions (network, event) or Callbacks; got {callback!r}")
        self._network, self.every = network, list(callbacks)
        self._of_epochs = [epoch or callback for callback, epoch in zip(callbacks, epochs, strict=True)]
        self.of_steps = [step for step in steps if step]

    _run: FitState

    def begin(self, run: FitState) -> None:
        """Call ``on_train_begin`` of each."""
        self._run = run
        self._call("on_train_begin", run)

    def step(self, event: Event) -> None:
        """Call ``on_train_batch_end`` of the callbacks that have it."""
        self._notify(self.of_steps, event)

    def epoch(self, event: Event) -> None:
        """Call ``on_epoch_end`` of each."""
        self._notify(self._of_epochs, event)

    def end(self) -> None:
        """Call ``on_train_end`` of each."""
        self._call("on_train_end")

    def interrupted(self) -> None:
        """Call ``on_interrupt`` in reverse order: a checkpoint is written before the best weights are restored."""
        self._call("on_interrupt", backwards=True)

    def _call(self, name: str, *arguments: Any, backwards: bool = False) -> None:
        for callback in reversed(self.every) if backwards else self.every:
            if isinstance(callback, Callback):
                getattr(callback, name)(self._network, *arguments)

    def _notify(self, functions: Sequence[Any], event: Event) -> None:
        for function in functions:
            if as_python(function(self._network, event)) is True:
                self._run.ended = True
