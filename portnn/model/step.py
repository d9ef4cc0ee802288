"""The functional model: forward pass, gradients and training step as pure functions of a flat state.

Nothing here depends on a backend, holds a value or writes into an array: ``xp`` is an argument, and a step returns the
new state.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

from portnn.model.architecture import Architecture, Layout
from portnn.nn import activations
from portnn.nn.loss import Loss
from portnn.nn.random import Key
from portnn.types import Array, Backward, Batch, Forward, ForwardContext, Namespace, Weights

TensorHook = Callable[[int | str, str, Any], Any]
"""``hook(layer, quantity, array)`` receives each intermediate result of a step; ``layer`` is an index or "loss".

The step continues with the array that the hook returns. Gradients of parameters and new buffers come as a mapping by
name; ``quantity`` is the prefix of their names."""

Update = Callable[..., tuple[Array, tuple[Array, ...]]]
"""``update(xp, parameters, gradient, opt_state, hyperparams) -> (parameters, opt_state)``."""


class State(NamedTuple):
    """Everything that training changes."""

    parameters: Array
    """Every trainable parameter, (parameters,)."""
    buffers: Array
    """Values without a gradient, (buffers,)."""
    opt_state: tuple[Array, ...]
    """The optimizer's vectors, each (parameters,)."""


def no_hook(layer: int | str, quantity: str, array: Any) -> Any:
    """Return the array as it is."""
    return array


@dataclass(frozen=True)
class FunctionalModel:
    """The network as pure functions of (xp, state, data)."""

    architecture: Architecture
    loss: Loss
    parameters: Layout
    buffers: Layout

    def _run(
        self, xp: Namespace, state: State, x: Array, context: ForwardContext, hook: TensorHook = no_hook
    ) -> tuple[Array, list[Backward], Array]:
        """Return (logits, the backward closures, new buffers)."""
        views, buffers = self.parameters.views(xp, state.parameters), self.buffers.views(xp, state.buffers)
        closures: list[Backward] = []
        first, changed = self.first_trainable, False
        for i, layer in enumerate(self.architecture.layers):
            weights: Weights = views[i] | buffers[i]
            layer_context = context._replace(needs_input_grad=i > first, layer=i)
            result = Forward.of(layer.forward(xp, weights, x, layer_context))
            x = hook(i, "output", result.output)
            closures.append(result.backward)
            if result.buffers:
                changed = True
                buffers[i] |= hook(i, "", result.buffers)
        return x, closures, self.buffers.flatten(xp, buffers) if changed else state.buffers

    @property
    def first_trainable(self) -> int:
        """Index of the first layer with trainable parameters: the backward pass ends there."""
        return self.parameters.tensors[0].layer

    def forward(self, xp: Namespace, state: State, x: Array, tiles: bool = True) -> Array:
        """Return the network's output, (batch, outputs), in inference mode; ``tiles``: see ``ForwardContext``."""
        z, *_ = self._run(xp, state, x, ForwardContext(training=False, tiles=tiles))
        return activations.find("output", self.architecture.output)(xp, z)[0]

    def evaluate(self, xp: Namespace, state: State, batch: Batch) -> tuple[Array, Array]:
        """Return (loss, output) in inference mode; if the last layer scales the outputs, the output before that.

        In the target's unit a float32 may hold few digits of the variation: that layer is computed in float64 later.
        """
        x, y, weight = batch
        outputs: list[Array] = []

        def keep(layer: int | str, quantity: str, array: Any) -> Any:
            outputs.append(array)
            return array

        z, *_ = self._run(xp, state, x, ForwardContext(training=False), keep)
        loss, _ = self.loss(xp, z, y, weight)
        if self.architecture.rescales_outputs:
            return loss, outputs[-2]
        return loss, activations.find("output", self.architecture.output)(xp, z)[0]

    def gradients(
        self, xp: Namespace, state: State, batch: Batch, context: ForwardContext, hook: TensorHook = no_hook
    ) -> tuple[Array, Array, Array]:
        """Return (loss, gradient vector, new buffers); ``context`` is a training context.

        A batch may come in parts (``ForwardContext.row``, ``ForwardContext.rows``, ``ForwardContext.all_reduce``) whose
        losses and gradients add up to the whole batch's: ``weight`` belongs to the whole batch.
        """
        x, y, weight = batch
        z, closures, buffers = self._run(xp, state, x, context, hook)
        loss, dx = self.loss(xp, z, y, weight)
        hook("loss", "loss", loss)
        dx = hook("loss", "gradient", dx)
        gradients: list[Mapping[str, Array]] = [{}] * len(closures)
        for i in reversed(range(self.first_trainable, len(closures))):
            dx, by_key = closures[i](dx)
            dx = dx if dx is None else hook(i, "dx", dx)
            gradients[i] = hook(i, "d", by_key)
        return loss, self.parameters.flatten(xp, gradients), buffers

    def gradient(self, xp: Namespace, state: State, batch: Batch, key: Key) -> tuple[Array, Array]:
        """Return (loss, gradient vector) as in a training step."""
        loss, gradient, _ = self.gradients(xp, state, batch, ForwardContext(training=True, key=key))
        return loss, gradient

    def part_gradients(
        self,
        row: int,
        rows: int,
        all_reduce: Callable[[Array], Array],
        xp: Namespace,
        state: State,
        batch: Batch,
        key: Key,
    ) -> tuple[Array, Array, Array]:
        """Return (loss, gradient vector, new buffers) of the part of a batch that begins at a row, of ``rows`` rows."""
        context = ForwardContext(training=True, key=key, row=row, rows=rows, all_reduce=all_reduce, tiles=False)
        return self.gradients(xp, state, batch, context)

    def step(
        self,
        xp: Namespace,
        update: Update,
        state: State,
        batch: Batch,
        key: Key,
        hyperparams: Any,
        hook: TensorHook = no_hook,
    ) -> tuple[State, Array]:
        """Return (new state, loss before the step) of one training step. ``state`` may be overwritten."""
        loss, gradient, buffers = self.gradients(xp, state, batch, ForwardContext(training=True, key=key), hook)
        parameters, opt_state = update(xp, state.parameters, gradient, state.opt_state, hyperparams)
        return State(parameters, buffers, opt_state), loss
