"""Callbacks: what is told of each epoch (and step) of a fit, and may end it.

A function ``(network, event)`` is told of each epoch; an object with a method ``step`` of each step too. What returns
True ends the training. The network is whole and usable there: it may be saved, evaluated, given another learning rate.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeAlias

from portnn.errors import ArgumentError
from portnn.nn.schedules import Schedule
from portnn.options import Plain, between, positive
from portnn.training import Event, Hook

Network: TypeAlias = Any
"""A NeuralNetwork: it stands above this module."""


class Callback(metaclass=Plain):
    """Base of callbacks that have more than a function: options, state, steps."""

    def epoch(self, network: Network, event: Event) -> bool | None:
        """Be told of an epoch; True ends the training."""
        return None


Told: TypeAlias = Callback | Callable[[Network, Event], bool | None]


@dataclass
class ReduceOnPlateau(Callback):
    """Multiplies the learning rate by ``factor`` when ``monitor`` has not fallen for ``patience`` epochs.

    ``monitor``: "loss", or the name of a metric such as "validation_loss"; what falls by less than ``least`` has not
    fallen. The rate stays above ``minimum``. Raises ArgumentError where the rate is a schedule, or nothing of that
    name is measured.
    """

    monitor: str = "loss"
    factor: float = 0.1
    patience: int = 10
    least: float = 1e-4
    minimum: float = 0.0
    _best: float = field(default=float("inf"), init=False, repr=False)
    _waited: int = field(default=0, init=False, repr=False)

    def __post_init__(self) -> None:
        between("factor", self.factor, 0.0, 1.0)
        positive("patience", self.patience)
        between("least", self.least)
        between("minimum", self.minimum)

    def epoch(self, network: Network, event: Event) -> None:
        if isinstance(network.optimizer.learning_rate, Schedule):
            raise ArgumentError("learning_rate: expected a number to reduce; got a schedule")
        value = measured(event, self.monitor)
        if value < self._best - self.least:
            self._best, self._waited = value, 0
            return
        self._waited += 1
        if self._waited >= self.patience:
            self._waited = 0
            network.learning_rate = max(network.learning_rate * self.factor, self.minimum)


def measured(event: Event, name: str) -> float:
    """Return the loss or a metric of an epoch by its name. Raises ArgumentError with the names that there are."""
    values = {"loss": event.loss, **event.metrics}
    if name not in values:
        raise ArgumentError(f"monitor: expected one of {', '.join(values)}; got {name!r}")
    return float(values[name])


def hooks(network: Network, callbacks: Sequence[Told]) -> tuple[Hook | None, Hook | None]:
    """Return what the fit loop calls after each epoch, and after each step: None where no callback asks for it."""
    for callback in callbacks:
        if not (callable(callback) or hasattr(callback, "epoch") or hasattr(callback, "step")):
            raise ArgumentError(f"callbacks: expected functions (network, event) or Callbacks; got {callback!r}")
    of_epochs = [getattr(callback, "epoch", callback) for callback in callbacks]
    of_steps = [callback.step for callback in callbacks if hasattr(callback, "step")]

    def told(functions: Sequence[Any]) -> Hook:
        def tell(event: Event) -> bool:
            said = [function(network, event) for function in functions]  # each is told, whatever the others say
            return True in said

        return tell

    return told(of_epochs) if of_epochs else None, told(of_steps) if of_steps else None
