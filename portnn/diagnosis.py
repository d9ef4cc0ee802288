"""Where a network does not learn: its activations and gradients on a batch, layer by layer and unit by unit."""

import os
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from portnn import plot
from portnn.network import NeuralNetwork
from portnn.nn.activations import ACTIVATIONS, find
from portnn.nn.layer import as_preprocessing
from portnn.nn.layers import Activation, Residual
from portnn.options import lookup
from portnn.types import ForwardContext

SATURATED = 0.01
"""An activation whose derivative is below this over the rows: a sigmoid further out than 4.6, a tanh than 3."""
EXPLODING = 100.0
"""How many times the input's values an output, or the loss's gradient a gradient, may be."""

BY_ELEMENT = frozenset(ACTIVATIONS) - {"identity", "softmax", "log_softmax"}
"""Activations each of whose outputs depends on one input."""

Histogram = tuple[np.ndarray, np.ndarray]
"""(counts, edges)."""


@dataclass(frozen=True)
class LayerActivity:
    """What one layer did with a batch. Units are counted from 0."""

    name: str
    """Place in the network, from 1, and kind: "2 relu"."""
    units: int
    output: float
    """Root mean square of the output."""
    gradient: float
    """Of the loss's gradient with respect to the output; NaN before the first layer that is trained."""
    dead: tuple[int, ...]
    """Units of an activation through which no gradient came, of any row."""
    saturated: tuple[int, ...]
    """Units through which less than SATURATED of the gradient came (root mean square over the rows), but some."""
    exploding: tuple[int, ...]
    """Units whose output or gradient is more than EXPLODING times what entered the network, or is not finite."""
    outputs: Histogram
    gradients: Histogram
    """Of log10 of the gradient's magnitude, where it is not 0."""

    def findings(self) -> list[str]:
        """Return a line for each trouble, its units named."""
        said = {
            "dead: no row's gradient comes through": self.dead,
            f"saturated: less than {SATURATED:g} of the gradient comes through": self.saturated,
            f"exploding: more than {EXPLODING:g} times what entered": self.exploding,
        }
        lines = [f"{self.name}: {len(u)} of {self.units} units {what}: {_few(u)}" for what, u in said.items() if u]
        return lines + [f"{self.name}: no gradient arrives"] * (self.gradient == 0)


@dataclass(frozen=True)
class Diagnosis:
    """What a network's layers did with a batch; ``print`` shows it.

    Examples
    --------
    See ``diagnose``.
    """

    layers: tuple[LayerActivity, ...]
    rows: int
    unseen: tuple[str, ...] = ()
    """Layers whose inner layers were not examined."""

    @property
    def findings(self) -> list[str]:
        """What is not well, a line each; empty: nothing was found."""
        return [line for layer in self.layers for line in layer.findings()]

    def __str__(self) -> str:
        wide = max(len(layer.name) for layer in self.layers) + 2
        head = f"{'layer':<{wide}}{'output rms':>11}{'gradient rms':>14}{'dead':>8}{'saturated':>11}{'exploding':>11}"
        lines = [
            f"{each.name:<{wide}}{each.output:>11.3g}{'-' if np.isnan(each.gradient) else f'{each.gradient:.3g}':>14}"
            f"{len(each.dead):>8}{len(each.saturated):>11}{len(each.exploding):>11}"
            for each in self.layers
        ]
        unseen = [f"not examined: the layers within {', '.join(self.unseen)}"] if self.unseen else []
        return "\n".join([head, *lines, *(self.findings or [f"nothing found on {self.rows} rows"]), *unseen])

    def plot(self, path: str | os.PathLike[str] | None = None, *, what: str = "outputs", ax: Any = None) -> Any:
        """Draw histograms by layer of "outputs", or of "gradients", whose axis has decades; return the Axes."""
        label = lookup("what", what, {"outputs": "output", "gradients": "log10 of |gradient|, where it is not 0"})
        shown = {each.name: getattr(each, what) for each in self.layers if getattr(each, what)[0].any()}
        troubles = {each.name: f"{len(each.dead)} of {each.units} dead" for each in self.layers if each.dead}
        return plot.distributions(shown, path, ax=ax, xlabel=label, notes=[troubles.get(name, "") for name in shown])


def diagnose(net: NeuralNetwork, x: object, y: object) -> Diagnosis:
    """Return what the network's layers do with a batch, as the next step would take it; nothing is changed.

    ``x`` and ``y`` are as for ``fit``, of a few hundred rows: a unit counts as dead if none of them reaches it; an
    output activation that the loss does not contain is examined as a layer. Layers within a ``Residual`` are not
    examined, which the findings say. Raises what ``fit`` raises for data that cannot be used.

    Parameters
    ----------
    net : NeuralNetwork
    x, y : array

    Returns
    -------
    Diagnosis

    Examples
    --------
    >>> import numpy as np
    >>> from portnn import NeuralNetwork, diagnose
    >>> net = NeuralNetwork(2, 3, "relu", 1, loss="mse", seed=0, backend="numpy")
    >>> net.set_parameters({"b1": [-99.0, 0.0, 0.0]})
    >>> x = np.random.default_rng(0).random((50, 2))
    >>> diagnose(net, x, x[:, :1]).layers[1].dead[0]
    0
    """
    runtime, dataset = net.prepare(x, y)
    model, backend = runtime.model, runtime.backend
    layers = model.architecture.layers
    outputs: dict[int, np.ndarray] = {}
    gradients: dict[int, np.ndarray] = {}

    def hook(place: int | str, what: str, array: Any) -> Any:
        if what == "output" and isinstance(place, int):
            outputs[place] = _by_unit(backend.to_numpy(array))
        elif what in ("dx", "gradient"):  # of a layer's input: of the output before it
            gradients[place - 1 if isinstance(place, int) else len(layers) - 1] = _by_unit(backend.to_numpy(array))
        return array

    with backend.scope():
        (batch,) = dataset.batches(backend.xp, dataset.rows, None, model.loss.mean)
        model.gradients(runtime.xp, runtime.state, batch, ForwardContext(training=True, key=runtime.key), hook)
        entered = np.abs(backend.to_numpy(batch[0]).astype(np.float64))
    # What Unstandardize gives is in the target's units, and larger for no fault of the network's.
    chosen = [i for i, layer in enumerate(layers) if as_preprocessing(layer).adapts_to != "y"]
    scale = 1.0 if batch[0].dtype != runtime.state.parameters.dtype else max(1.0, float(_rms(entered.reshape(-1))))
    steep = float(_rms(gradients[chosen[-1]]).max())
    found = [_activity(i, layers[i], outputs[i], gradients.get(i), gradients.get(i - 1), scale, steep) for i in chosen]
    output = model.architecture.output
    if model.loss.pair is None and output in BY_ELEMENT:
        found.append(_of_output(len(layers), output, outputs[len(layers) - 1], scale))
    unseen = tuple(f"{i + 1} Residual" for i, layer in enumerate(layers) if isinstance(layer, Residual))
    return Diagnosis(tuple(found), dataset.rows, unseen)


def _of_output(place: int, name: str, z: np.ndarray, scale: float) -> LayerActivity:
    """Describe the output activation by what it makes of its input, (n, units), and of gradients of one."""
    with np.errstate(all="ignore"):
        a, backward = find("output", name)(np, z)
        ones = np.ones_like(a)
        activity = _activity(place, Activation(name), a, ones, backward(ones), scale, 1.0)
    return replace(activity, gradient=np.nan, gradients=np.histogram([], bins=60))


def _activity(
    place: int,
    layer: Any,
    output: np.ndarray,
    gradient: np.ndarray | None,
    before: np.ndarray | None,
    scale: float,
    steep: float,
) -> LayerActivity:
    """Describe a layer by its output and the gradients of its output and (``before``) its input, all (n, units)."""
    size = _rms(output)
    exploding = ~(size <= EXPLODING * scale)
    dead = saturated = np.zeros(len(size), bool)
    if gradient is not None:
        arrives = _rms(gradient)
        exploding |= ~(arrives <= EXPLODING * steep)
        if isinstance(layer, Activation) and before is not None:
            passes = _rms(before)
            dead = (passes == 0) & (arrives > 0)
            saturated = (passes < SATURATED * arrives) & ~dead
    magnitudes = np.array([]) if gradient is None else np.abs(gradient[np.isfinite(gradient) & (gradient != 0)])
    return LayerActivity(
        f"{place + 1} {getattr(layer, 'name', type(layer).__name__)}",
        len(size),
        float(_rms(output.reshape(-1))),
        np.nan if gradient is None else float(_rms(gradient.reshape(-1))),
        _numbers(dead),
        _numbers(saturated),
        _numbers(exploding),
        np.histogram(output[np.isfinite(output)], bins=60),
        np.histogram(np.log10(magnitudes), bins=60),
    )


def _by_unit(array: np.ndarray) -> np.ndarray:
    """Return (n, units) in float64: what lies before the last axis counts as rows."""
    return array.reshape(-1, array.shape[-1]).astype(np.float64)


def _rms(values: np.ndarray) -> np.ndarray:
    found: np.ndarray = np.sqrt(np.mean(values**2, axis=0))
    return found


def _numbers(mask: np.ndarray) -> tuple[int, ...]:
    return tuple(np.flatnonzero(mask).tolist())


def _few(numbers: tuple[int, ...]) -> str:
    return ", ".join(map(str, numbers[:10])) + (", ..." if len(numbers) > 10 else "")
