"""The pure core: forward pass, gradients, and one training step, as functions of one flat state.

Nothing here knows a backend, holds a value or writes into an array: ``xp`` is handed in, and what a step
changes is what it returns.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

from portnn.core.architecture import Architecture, Layout
from portnn.nn.activations import ACTIVATIONS
from portnn.nn.layers import Layer
from portnn.nn.losses import Loss
from portnn.nn.random import Key
from portnn.types import Array, Backward, Mode, Namespace, Weights


class State(NamedTuple):
    """All that training changes."""

    parameters: Array
    """Every trainable parameter, (parameters,)."""
    buffers: Array
    """Values that are not trained, (buffers,)."""
    slots: tuple[Array, ...]
    """The optimizer's vectors, each (parameters,)."""


@dataclass(frozen=True)
class Core:
    """The network as pure functions of (xp, state, data)."""

    architecture: Architecture
    loss: Loss
    parameters: Layout
    buffers: Layout

    def bound_layers(self, xp: Namespace, state: State, mode: Mode) -> list[tuple[Layer, Weights, Mode]]:
        """Return each layer with its parameters and buffers, and how it is to be run."""
        views, kept = self.parameters.views(xp, state.parameters), self.buffers.views(xp, state.buffers)
        first = self.first_trainable
        return [
            (layer, {**views[i], **kept[i]}, mode._replace(input_gradient=i > first, layer=i))
            for i, layer in enumerate(self.architecture.layers)
        ]

    def _run(self, xp: Namespace, state: State, x: Array, mode: Mode) -> tuple[Array, list[Backward]]:
        """Return what enters the output activation, and the backward closures that training needs."""
        closures = []
        for layer, weights, how in self.bound_layers(xp, state, mode):
            x, backward = layer.forward(xp, weights, x, how)
            closures.append(backward)
        return x, closures

    @property
    def first_trainable(self) -> int:
        """Index of the first layer with parameters: the backward pass ends there."""
        return self.parameters.entries[0].layer

    def forward(self, xp: Namespace, state: State, x: Array) -> Array:
        """Return the network's output, (batch, outputs), in inference mode."""
        z, _ = self._run(xp, state, x, Mode(training=False))
        return ACTIVATIONS[self.architecture.output](xp, z)[0]

    def evaluate(self, xp: Namespace, state: State, x: Array, y: Array, weight: Any) -> tuple[Array, Array]:
        """Return (loss, output) in inference mode."""
        z, _ = self._run(xp, state, x, Mode(training=False))
        loss, _ = self.loss.function(xp, z, y, weight)
        return loss, ACTIVATIONS[self.architecture.output](xp, z)[0]

    def gradients(self, xp: Namespace, state: State, x: Array, y: Array, weight: Any, key: Key) -> tuple[Array, Array]:
        """Return (loss, gradient of the flat parameters), in training mode, with the key's random bits."""
        z, closures = self._run(xp, state, x, Mode(training=True, key=key))
        loss, dx = self.loss.function(xp, z, y, weight)
        gradients: list[Any] = [{}] * len(closures)
        for i in reversed(range(self.first_trainable, len(closures))):
            dx, gradients[i] = closures[i](dx)
        return loss, self.parameters.flatten(xp, gradients)

    def step(
        self,
        xp: Namespace,
        update: Callable[..., tuple[Array, ...]],
        state: State,
        x: Array,
        y: Array,
        weight: Any,
        key: Key,
        *dials: float,
    ) -> tuple[State, Array]:
        """Take one training step: return (new state, loss before the step). Consumes ``state``.

        ``update(parameters, gradient, *slots, *dials)`` is the optimizer's kernel.
        """
        loss, gradient = self.gradients(xp, state, x, y, weight, key)
        parameters, *slots = update(state.parameters, gradient, *state.slots, *dials)
        return State(parameters, state.buffers, tuple(slots)), loss
