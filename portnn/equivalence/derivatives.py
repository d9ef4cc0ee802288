"""Compares the gradients of a step with central differences of its loss, in float64 on NumPy.

The error of a difference quotient of width h is the rounding of the loss, divided by h, and its truncation error. Fixed
tolerances suit neither: a loss may be 1e-10 or 1e10, as its data are. All scales are measured:

- Rounding: eps of the larger loss; a loss of probabilities takes logarithms of numbers near 1. The rounding of the
layers' outputs adds eps |dL/dq q|, which is below SHARE_OF_SLOPE over these widths. - Widths: SHARES of the parameter's
largest value and of its layer's largest output; the latter is the scale of a bias that is 0 or tiny. - Truncation: half
of the difference of the two one-sided slopes, unless that grows with the width as a curve's does; the change of the
slope from a tenth of the width, within what narrower widths allow; at least SHARE_OF_SLOPE. A kink within one width is
outside a narrower one, so narrow widths come first.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import partial
from itertools import pairwise

import numpy as np

from portnn.errors import ArgumentError
from portnn.model.architecture import TensorInfo
from portnn.model.runtime import Runtime
from portnn.model.step import State
from portnn.types import Array, Batch, ForwardContext

EPS = float(np.finfo(np.float64).eps)
ROUNDINGS = 16.0
"""Allowed multiple of one rounding error: two losses, each of several operations per layer."""
SHARES = (1e-8, 1e-7, 1e-6, 1e-5, 1e-4, 1e-3, 1e-2, 1e-1)
"""Widths, as shares of a scale. The wide ones suit losses that depend little on the outputs."""
SHARE_OF_SLOPE = 1e-4
"""Least allowed truncation error, as a share of the slope."""
TIGHT = 1e-3
"""Largest error, as a share of the slope, at which a difference can tell a wrong gradient from a right one."""
HIDDEN = 1e-6
"""Share of the outputs' influence that at least one element of a parameter must have."""


@dataclass(frozen=True)
class Sizes:
    """The sizes of a loss and of its parts."""

    loss: float
    influence: float
    """First-order change of the loss if each output of a layer doubles or not, at random."""
    unit: float
    """1 for a loss of probabilities, whose logarithms are of numbers near 1; else 0."""
    outputs: tuple[float, ...] = ()
    """Largest output of each layer."""

    @property
    def rounding(self) -> float:
        """Rounding error of the difference of two losses."""
        return ROUNDINGS * EPS * (abs(self.loss) + self.unit)


@dataclass(frozen=True)
class Difference:
    """The losses with one element moved by +-h."""

    above: float
    below: float
    rounding: float
    """Rounding error of each one-sided slope."""
    truncation: float
    """Truncation error of the slope, without a kink."""

    @property
    def slope(self) -> float:
        return (self.above + self.below) / 2

    @property
    def gap(self) -> float:
        return abs(self.above - self.below)

    @property
    def error(self) -> float:
        return self.rounding + self.truncation


def wrong_gradients(runtime: Runtime, batch: Batch, elements: int, rng: np.random.Generator) -> Iterator[str]:
    """Yield a line for each wrong gradient among ``elements`` random elements of each parameter.

    The runtime is NumPy's in float64. Raises ArgumentError if the rounding of the loss hides the influence of the
    outputs.
    """
    gradients, sizes = _sizes(runtime, batch)
    parameters = np.asarray(runtime.state.parameters)
    for tensor in runtime.model.parameters.tensors:
        gradient, largest = gradients[tensor.start : tensor.stop], _largest(gradients[tensor.start : tensor.stop])
        if not np.isfinite(largest):  # of any element, sampled or not
            i = int(np.argmin(np.isfinite(gradient)))
            yield f"gradient of {_element(tensor, i)}: expected a finite number; got {gradient[i]}"
            continue
        scales = {_largest(parameters[tensor.start : tensor.stop]), sizes.outputs[tensor.layer]} - {0.0}
        scales = scales or {abs(sizes.loss) / largest if largest else 1.0}
        hidden = largest * max(scales) > HIDDEN * sizes.influence
        for i in rng.choice(gradient.size, min(elements, gradient.size), replace=False):
            loss_at, got = partial(_moved_loss, runtime, batch, tensor.start + int(i)), float(gradient[i])
            verdict, slope = _verdict(got, loss_at, sizes, sorted(scales), largest)
            hidden = hidden and verdict is None
            if verdict is False:
                name = _element(tensor, int(i))
                yield f"gradient of {name}: expected {slope:.10g}, by central differences; got {got:.10g}"
        if hidden:
            raise ArgumentError(
                f"y: expected targets whose loss shows what the outputs change, to check gradients; got one of "
                f"{sizes.loss:.3g}, of which the outputs make {sizes.influence:.3g}: its rounding hides {tensor.name}"
            )


def _sizes(runtime: Runtime, batch: Batch) -> tuple[Array, Sizes]:
    """Return the gradient vector, and the sizes of the loss."""
    tensors: dict[tuple[int | str, str], Array] = {}

    def hook(layer: int | str, name: str, array: Array) -> Array:
        tensors[layer, name] = array
        return array

    context = ForwardContext(training=True, key=runtime.key)
    loss, gradient, _ = runtime.model.gradients(runtime.xp, runtime.state, batch, context, hook)
    count = len(runtime.model.architecture.layers)
    outputs = [tensors[layer, "output"] for layer in range(count)]
    output_gradients = [tensors.get((layer + 1, "dx")) for layer in range(count - 1)] + [tensors["loss", "gradient"]]
    influences = [
        float(np.linalg.norm(np.ravel(dx * output)))
        for dx, output in zip(output_gradients, outputs, strict=True)
        if dx is not None
    ]
    unit = 0.0 if runtime.model.loss.pair is None else 1.0
    return gradient, Sizes(float(loss), max(influences), unit, tuple(map(_largest, outputs)))


def _largest(array: Array) -> float:
    return float(np.max(np.abs(array)))


def _moved_loss(runtime: Runtime, batch: Batch, index: int, by: float) -> float:
    moved = np.array(runtime.state.parameters)
    moved[index] += by
    state = State(moved, *runtime.state[1:])
    return float(runtime.model.gradient(runtime.xp, state, batch, runtime.key)[0])


def _differences(loss_at: Callable[[float], float], sizes: Sizes, scale: float) -> Iterator[Difference]:
    """Yield the difference for each width of a scale, narrow ones first."""
    narrower: list[Difference] = []
    for share in SHARES:
        h = share * scale
        up, down = loss_at(h), loss_at(-h)
        above, below = (up - sizes.loss) / h, (sizes.loss - down) / h
        slope = (above + below) / 2
        rounding = replace(sizes, loss=max(abs(sizes.loss), abs(up), abs(down))).rounding / h
        gap, truncation = abs(above - below), SHARE_OF_SLOPE * abs(slope)
        # If the slopes of both sides differ by what grows with the width, the loss is curved: the errors cancel.
        if not narrower or abs(gap - 10 * narrower[-1].gap) > 0.1 * gap:
            truncation = max(truncation, gap / 2)
        if narrower:
            contradicted = max(abs(slope - d.slope) - d.rounding for d in narrower)
            truncation = max(truncation, contradicted, abs(slope - narrower[-1].slope))
        narrower.append(Difference(above, below, rounding, truncation))
        yield narrower[-1]


def _verdict(
    got: float, loss_at: Callable[[float], float], sizes: Sizes, scales: list[float], largest: float
) -> tuple[bool | None, float]:
    """Return (whether the gradient is the derivative, or None if rounding hides it; the derivative).

    Only differences with an error that is small beside the slope, or beside the parameter's largest gradient, count.
    """
    tried: list[Difference] = []
    for scale in scales:
        for d in _differences(loss_at, sizes, scale):
            tried.append(d)
            if _is_tight(d, got, largest) and abs(d.slope - got) <= d.error:
                return True, d.slope
        if _at_a_kink(got, tried[-len(SHARES) :]):
            return True, got
    best = min(tried, key=lambda d: d.error)
    close = (abs(d.slope - got) <= d.rounding + SHARE_OF_SLOPE * abs(d.slope) for d in tried)
    return (None if not _is_tight(best, got, largest) and any(close) else False), best.slope


def _is_tight(difference: Difference, got: float, largest: float) -> bool:
    return difference.error <= TIGHT * max(abs(got), abs(difference.slope), largest / 100)


def _at_a_kink(got: float, differences: list[Difference]) -> bool:
    """Return whether the loss has a kink at this very point, and the gradient lies between the one-sided slopes.

    A difference of the slopes that does not depend on the width is a kink here. That of a curve shrinks with the width,
    that of a jump grows, that of a kink nearby vanishes.
    """
    for i, (narrow, wider) in enumerate(pairwise(differences)):
        error = narrow.rounding + max(abs(narrow.above - wider.above), abs(narrow.below - wider.below))
        if narrow.gap > 4 * error:
            persists = all(d.gap + 4 * d.rounding > narrow.gap / 2 for d in differences[:i])
            sides = narrow.above, narrow.below
            return persists and min(sides) - error <= got <= max(sides) + error
    return False


def _element(tensor: TensorInfo, index: int) -> str:
    return f"{tensor.name}[{', '.join(str(int(i)) for i in np.unravel_index(index, tensor.shape))}]"
