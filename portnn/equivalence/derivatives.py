"""Whether the gradients of a step are the derivatives of its loss, by central differences in float64 on NumPy.

A difference over a width h is off by the rounding of the loss, over h, and by its truncation. Neither may be measured
with a fixed yardstick: a loss is 1e-10 or 1e10, as its data are. All sizes are those at hand:

- Rounding: eps of the larger loss, as it is moved; a loss of probabilities takes logarithms of numbers near 1. What
  the rounding of the layers' outputs adds, eps |dL/dq q|, is below SHARE_OF_SLOPE over these widths.
- Widths: SHARES of the parameter's largest value and of its layer's largest output, which is the measure of a bias
  that is 0 or tiny.
- Truncation: half of what is between the slopes of the two sides, unless that grows with the width as a curve's does;
  what a tenth of the width makes of the slope, and what narrower widths leave no room for; SHARE_OF_SLOPE at least. A
  kink within one width is outside a narrower one, so narrow ones come first.
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
"""How many times the rounding of one pass a difference may be off: two losses, each of several operations a layer."""
SHARES = (1e-8, 1e-7, 1e-6, 1e-5, 1e-4, 1e-3, 1e-2, 1e-1)
"""Widths, as shares of a scale. The wide ones are for losses of which the outputs change little."""
SHARE_OF_SLOPE = 1e-4
"""Truncation that is always granted."""
TIGHT = 1e-3
"""Error, beside the slope, up to which a difference can tell a wrong gradient from a right one."""
HIDDEN = 1e-6
"""Share of the outputs' influence that at least one element of a parameter must have."""


@dataclass(frozen=True)
class Sizes:
    """How large a loss is, and what it consists of."""

    loss: float
    influence: float
    """How far the loss moves, to first order, if each output of a layer doubles or not, as chance has it."""
    unit: float
    """1 for a loss of probabilities, whose logarithms are of numbers near 1 whatever the data; else 0."""
    outputs: tuple[float, ...] = ()
    """The largest of each layer."""

    @property
    def rounding(self) -> float:
        """How far the computed difference of two losses may be off."""
        return ROUNDINGS * EPS * (abs(self.loss) + self.unit)


@dataclass(frozen=True)
class Difference:
    """A loss whose element is moved to both sides by one width."""

    above: float
    below: float
    rounding: float
    """How far each side's slope may be off by the rounding of the loss."""
    truncation: float
    """How far the slope may be off by the width, where there is no kink."""

    @property
    def slope(self) -> float:
        return (self.above + self.below) / 2

    @property
    def gap(self) -> float:
        return abs(self.above - self.below)

    @property
    def error(self) -> float:
        return self.rounding + self.truncation


def wrong_gradients(runtime: Runtime, batch: Batch, entries: int, rng: np.random.Generator) -> Iterator[str]:
    """Yield a line for each of ``entries`` drawn elements of each parameter whose gradient is not the loss's.

    The runtime is NumPy's in float64. Raises ArgumentError where the loss has no digits for what the outputs change.
    """
    found, sizes = _sizes(runtime, batch)
    flat = np.asarray(runtime.state.parameters)
    for entry in runtime.model.parameters.tensors:
        gradient, largest = found[entry.start : entry.stop], _largest(found[entry.start : entry.stop])
        if not np.isfinite(largest):  # of any element, drawn or not
            i = int(np.argmin(np.isfinite(gradient)))
            yield f"gradient of {_element(entry, i)}: expected a finite number; got {gradient[i]}"
            continue
        scales = {_largest(flat[entry.start : entry.stop]), sizes.outputs[entry.layer]} - {0.0}
        scales = scales or {abs(sizes.loss) / largest if largest else 1.0}
        hidden = largest * max(scales) > HIDDEN * sizes.influence
        for i in rng.choice(gradient.size, min(entries, gradient.size), replace=False):
            moved, got = partial(_moved_loss, runtime, batch, entry.start + int(i)), float(gradient[i])
            verdict, slope = _verdict(got, moved, sizes, sorted(scales), largest)
            hidden = hidden and verdict is None
            if verdict is False:
                place = _element(entry, int(i))
                yield f"gradient of {place}: expected {slope:.10g}, by central differences; got {got:.10g}"
        if hidden:
            raise ArgumentError(
                f"y: expected targets whose loss shows what the outputs change, to check gradients; got one of "
                f"{sizes.loss:.3g}, of which the outputs make {sizes.influence:.3g}: its rounding hides {entry.name}"
            )


def _sizes(runtime: Runtime, batch: Batch) -> tuple[Array, Sizes]:
    """Return the flat gradient, and the sizes of the loss."""
    seen: dict[tuple[int | str, str], Array] = {}

    def hook(place: int | str, what: str, array: Array) -> Array:
        seen[place, what] = array
        return array

    mode = ForwardContext(training=True, key=runtime.key)
    loss, gradient, _ = runtime.model.gradients(runtime.xp, runtime.state, batch, mode, hook)
    count = len(runtime.model.architecture.layers)
    outputs = [seen[layer, "output"] for layer in range(count)]
    arriving = [seen.get((layer + 1, "dx")) for layer in range(count - 1)] + [seen["loss", "gradient"]]
    influences = [
        float(np.linalg.norm(np.ravel(dx * output)))
        for dx, output in zip(arriving, outputs, strict=True)
        if dx is not None
    ]
    unit = 0.0 if runtime.model.loss.pair is None else 1.0
    return gradient, Sizes(float(loss), max(influences), unit, tuple(map(_largest, outputs)))


def _largest(array: Array) -> float:
    return float(np.max(np.abs(array)))


def _moved_loss(runtime: Runtime, batch: Batch, place: int, by: float) -> float:
    moved = np.array(runtime.state.parameters)
    moved[place] += by
    state = State(moved, *runtime.state[1:])
    return float(runtime.model.gradient(runtime.xp, state, batch, runtime.key)[0])


def _differences(moved: Callable[[float], float], sizes: Sizes, scale: float) -> Iterator[Difference]:
    """Yield the difference over each width of a scale, narrow ones first."""
    narrower: list[Difference] = []
    for share in SHARES:
        h = share * scale
        up, down = moved(h), moved(-h)
        above, below = (up - sizes.loss) / h, (sizes.loss - down) / h
        slope = (above + below) / 2
        rounding = replace(sizes, loss=max(abs(sizes.loss), abs(up), abs(down))).rounding / h
        gap, truncation = abs(above - below), SHARE_OF_SLOPE * abs(slope)
        # A gap that grows with the width is of a curve, of which the differences to both sides cancel.
        if not narrower or abs(gap - 10 * narrower[-1].gap) > 0.1 * gap:
            truncation = max(truncation, gap / 2)
        if narrower:
            contradicted = max(abs(slope - each.slope) - each.rounding for each in narrower)
            truncation = max(truncation, contradicted, abs(slope - narrower[-1].slope))
        narrower.append(Difference(above, below, rounding, truncation))
        yield narrower[-1]


def _verdict(
    got: float, moved: Callable[[float], float], sizes: Sizes, scales: list[float], largest: float
) -> tuple[bool | None, float]:
    """Return whether a gradient is the derivative, None where rounding hides it; and the derivative.

    Judged by the differences whose error is small beside the slope, or beside the parameter's largest gradient.
    """
    tried: list[Difference] = []
    for scale in scales:
        for each in _differences(moved, sizes, scale):
            tried.append(each)
            if _is_tight(each, got, largest) and abs(each.slope - got) <= each.error:
                return True, each.slope
        if _at_a_kink(got, tried[-len(SHARES) :]):
            return True, got
    best = min(tried, key=lambda each: each.error)
    near = (abs(each.slope - got) <= each.rounding + SHARE_OF_SLOPE * abs(each.slope) for each in tried)
    return (None if not _is_tight(best, got, largest) and any(near) else False), best.slope


def _is_tight(difference: Difference, got: float, largest: float) -> bool:
    return difference.error <= TIGHT * max(abs(got), abs(difference.slope), largest / 100)


def _at_a_kink(got: float, differences: list[Difference]) -> bool:
    """Return whether there is a kink at this very place, and what was got lies between the slopes of its sides.

    A gap that is the same however near its sides come is a kink here. That of a curve shrinks with the width, that of
    a jump grows, that of a kink nearby ends.
    """
    for i, (narrow, wide) in enumerate(pairwise(differences)):
        error = narrow.rounding + max(abs(narrow.above - wide.above), abs(narrow.below - wide.below))
        if narrow.gap > 4 * error:
            here = all(each.gap + 4 * each.rounding > narrow.gap / 2 for each in differences[:i])
            sides = narrow.above, narrow.below
            return here and min(sides) - error <= got <= max(sides) + error
    return False


def _element(entry: TensorInfo, place: int) -> str:
    return f"{entry.name}[{', '.join(str(int(i)) for i in np.unravel_index(place, entry.shape))}]"
