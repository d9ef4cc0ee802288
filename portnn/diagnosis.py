"""Diagnosis of a network: activations and gradients on a batch, by layer and unit."""

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
"""Root-mean-square derivative below which a unit is saturated: a sigmoid beyond 4.6, a tanh beyond 3."""
EXPLODING = 100.0
"""Ratio of an output to the input's values, or of a gradient to the loss's gradient, above which it explodes."""

BY_ELEMENT = frozenset(ACTIVATIONS) - {"identity", "softmax", "log_softmax"}
"""Element-wise activations."""

Histogram = tuple[np.ndarray, np.ndarray]
"""(counts, edges)."""


@dataclass(frozen=True)
class LayerActivity:
    """A layer's activity on a batch. Units are counted from 0."""

    name: str
    """Number in the network, from 1, and type: "2 relu"."""
    units: int
    output: float
    """Root mean square of the output."""
    gradient: float
    """Root mean square of the loss's gradient with respect to the output; NaN before the first trained layer."""
    dead: tuple[int, ...]
    """Units of an activation that pass no gradient in any row."""
    saturated: tuple[int, ...]
    """Units that pass less than SATURATED of the gradient (root mean square over the rows), but some."""
    exploding: tuple[int, ...]
    """Units whose output or gradient exceeds EXPLODING times the network's input, or is not finite."""
    outputs: Histogram
    gradients: Histogram
    """Histogram of log10 of the gradient's magnitude, without zeros."""

    def findings(self) -> list[str]:
        """Return a line for each problem, with its units."""
        problems = {
            "dead: no row's gradient comes through": self.dead,
            f"saturated: less than {SATURATED:g} of the gradient comes through": self.saturated,
            f"exploding: more than {EXPLODING:g} times what entered": self.exploding,
        }
        lines = [f"{self.name}: {len(u)} of {self.units} units {what}: {_few(u)}" for what, u in problems.items() if u]
        return lines + [f"{self.name}: no gradient arrives"] * (self.gradient == 0)


@dataclass(frozen=True)
class Diagnosis:
    """The activity of a network's layers on a batch; ``print`` shows it.

    Examples
    --------
    >>> import numpy as np
    >>> from portnn import NeuralNetwork, diagnose
    >>> net = NeuralNetwork(2, 4, 1, seed=0, backend="numpy")
    >>> net.set_parameters({"b1": np.array([0.0, -99.0, 0.0, 0.0])})
    >>> diagnosis = diagnose(net, np.ones((8, 2)), np.zeros((8, 1)))
    >>> 1 in diagnosis.layers[1].dead
    True
    """

    layers: tuple[LayerActivity, ...]
    rows: int
    unseen: tuple[str, ...] = ()
    """Layers whose inner layers were not examined."""

    @property
    def findings(self) -> list[str]:
        """The problems, one line each."""
        return [line for layer in self.layers for line in layer.findings()]

    def __str__(self) -> str:
        width = max(len(layer.name) for layer in self.layers) + 2
        head = f"{'layer':<{width}}{'output rms':>11}{'gradient rms':>14}{'dead':>8}{'saturated':>11}{'exploding':>11}"
        gradients = ["-" if np.isnan(layer.gradient) else f"{layer.gradient:.3g}" for layer in self.layers]
        lines = [
            f"{layer.name:<{width}}{layer.output:>11.3g}{gradient:>14}"
            f"{len(layer.dead):>8}{len(layer.saturated):>11}{len(layer.exploding):>11}"
            for layer, gradient in zip(self.layers, gradients, strict=True)
        ]
        unseen = [f"not examined: the layers within {', '.join(self.unseen)}"] if self.unseen else []
        return "\n".join([head, *lines, *(self.findings or [f"nothing found on {self.rows} rows"]), *unseen])

    def plot(self, path: str | os.PathLike[str] | None = None, *, what: str = "outputs", ax: Any = None) -> Any:
        """Draw histograms by layer of "outputs", or of "gradients", whose axis has decades; return the Axes."""
        label = lookup("what", what, {"outputs": "output", "gradients": "log10 of |gradient|, where it is not 0"})
        shown = {layer.name: getattr(layer, what) for layer in self.layers if getattr(layer, what)[0].any()}
        troubles = {layer.name: f"{len(layer.dead)} of {layer.units} dead" for layer in self.layers if layer.dead}
        return plot.distributions(shown, path, ax=ax, xlabel=label, notes=[troubles.get(name, "") for name in shown])


def diagnose(net: NeuralNetwork, x: object, y: object) -> Diagnosis:
    """Return the activity of the network's layers on a batch, as the next step would compute it.

    The network is unchanged.
    ``x`` and ``y`` are as for ``fit``, a few hundred rows: a unit counts as dead if no row activates it. An output
    activation outside the loss is examined as a layer. Layers within a ``Residual`` are not examined, which the
    findings say. Raises what ``fit`` raises for invalid data.

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

    def hook(index: int | str, quantity: str, array: Any) -> Any:
        if quantity == "output" and isinstance(index, int):
            outputs[index] = _by_unit(backend.to_numpy(array))
        elif quantity in ("dx", "gradient"):  # the gradient of a layer's input is that of the previous output
            gradients[index - 1 if isinstance(index, int) else len(layers) - 1] = _by_unit(backend.to_numpy(array))
        return array

    with backend.scope():
        (batch,) = dataset.batches(backend, dataset.rows, None, model.loss.mean)
        model.gradients(runtime.xp, runtime.state, batch, ForwardContext(training=True, key=runtime.key), hook)
        entered = np.abs(backend.to_numpy(batch[0]).astype(np.float64))
    # Unstandardize's outputs are in the target's unit, and may rightly be large.
    chosen = [i for i, layer in enumerate(layers) if as_preprocessing(layer).adapts_to != "y"]
    scale = 1.0 if batch[0].dtype != runtime.state.parameters.dtype else max(1.0, float(_rms(entered.reshape(-1))))
    steep = float(_rms(gradients[chosen[-1]]).max())
    activities = [
        _activity(i, layers[i], outputs[i], gradients.get(i), gradients.get(i - 1), scale, steep) for i in chosen
    ]
    output = model.architecture.output
    if model.loss.pair is None and output in BY_ELEMENT:
        activities.append(_of_output(len(layers), output, outputs[len(layers) - 1], scale))
    unseen = tuple(f"{i + 1} Residual" for i, layer in enumerate(layers) if isinstance(layer, Residual))
    return Diagnosis(tuple(activities), dataset.rows, unseen)


def _of_output(index: int, name: str, z: np.ndarray, scale: float) -> LayerActivity:
    """Return the activity of the output activation from its input, (n, units), and gradients of 1."""
    with np.errstate(all="ignore"):
        a, backward = find("output", name)(np, z)
        gradient = np.ones_like(a)
        activity = _activity(index, Activation(name), a, gradient, backward(gradient), scale, 1.0)
    return replace(activity, gradient=np.nan, gradients=np.histogram([], bins=60))


def _activity(
    index: int,
    layer: Any,
    output: np.ndarray,
    gradient: np.ndarray | None,
    before: np.ndarray | None,
    scale: float,
    steep: float,
) -> LayerActivity:
    """Return a layer's activity from its output and the gradients of output and input, all (n, units)."""
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
        f"{index + 1} {getattr(layer, 'name', type(layer).__name__)}",
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
    """Return (n, units) in float64; all axes but the last count as rows."""
    return array.reshape(-1, array.shape[-1]).astype(np.float64)


def _rms(values: np.ndarray) -> np.ndarray:
    found: np.ndarray = np.sqrt(np.mean(values**2, axis=0))
    return found


def _numbers(mask: np.ndarray) -> tuple[int, ...]:
    return tuple(np.flatnonzero(mask).tolist())


def _few(numbers: tuple[int, ...]) -> str:
    return ", ".join(map(str, numbers[:10])) + (", ..." if len(numbers) > 10 else "")
