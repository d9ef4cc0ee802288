"""For other people's test suites: do the backends agree, and are the gradients right?

The pytest plugin (portnn/pytest_plugin.py), which pytest finds by itself where portnn is installed, brings the fixture
``portnn_backend`` and the option ``--portnn-require``.
"""

from collections.abc import Callable, Sequence
from functools import partial

import numpy as np

from portnn.backend import get_backend
from portnn.equivalence.bits import BitsReport, compare_bits
from portnn.equivalence.compare import compare
from portnn.equivalence.conformance import faults
from portnn.equivalence.functions import Function, differences
from portnn.equivalence.report import Report
from portnn.network import NeuralNetwork
from portnn.options import positive

STEPS = (1e-4, 1e-5, 1e-6)
"""Widths of the central differences: a kink within one is outside a narrower one."""


def assert_backends_agree(
    net: NeuralNetwork,
    x: object,
    y: object,
    *,
    backends: Sequence[str] | None = None,
    steps: int = 1,
    batch_size: int = 32,
) -> Report:
    """Assert that every piece of the training steps is within its bound of its true value, on NumPy and each backend.

    ``backends=None`` takes all that are available: name those that your users rely on, so that a missing one is an
    error. With none beside NumPy it raises BackendUnavailableError. See ``portnn.compare``; the report is returned.
    """
    __tracebackhide__ = True
    report = compare(net, x, y, backends=backends, steps=steps, batch_size=batch_size)
    assert report.holds, report.verdict()
    return report


def assert_same_bits(
    net: NeuralNetwork,
    x: object,
    y: object,
    *,
    backends: Sequence[str] | None = None,
    steps: int = 20,
    batch_size: int = 32,
) -> BitsReport:
    """Assert that the training steps end in NumPy's bits on each backend: for networks in reproducible arithmetic.

    The message of the AssertionError names the first step and the first operation that differ. See
    ``portnn.compare_bits``; the report is returned.
    """
    __tracebackhide__ = True
    report = compare_bits(net, x, y, backends=backends, steps=steps, batch_size=batch_size)
    assert report.holds, report.verdict()
    return report


def assert_same_on_backends(
    function: Function, *arrays: object, backends: Sequence[str] | None = None, ulps: float = 16.0
) -> None:
    """Assert that ``function(*arrays)`` gives the same on each backend, NumPy too, as far as rounding allows.

    The function is written against the array API standard, on arrays of whatever library it is handed; it returns an
    array or a tuple of them. Where the core has bounds for its operations (portnn/namespaces/bounds.py) each result
    must be within its bound of the true value, elsewhere within ``ulps`` units in the last place of NumPy's; whole
    numbers and truth values must be equal. ``backends`` as in ``assert_backends_agree``.
    """
    __tracebackhide__ = True
    found = list(differences(function, arrays, backends, ulps))
    assert not found, "\n".join(found)


def check_backend(name: str) -> None:
    """Assert that an adapter, by its name as for ``NeuralNetwork(backend=...)``, gives the core what it relies on.

    Devices, round trips, copies, dtypes, int32 that wraps, every function within its bound, random bits, scalars, and
    training steps. The message of the AssertionError has a line for each thing that is wrong, with the mend. Raises
    BackendUnavailableError where it cannot run here.
    """
    __tracebackhide__ = True
    backend = get_backend(name)
    found = list(faults(backend))
    assert not found, "\n".join([f"{backend!r}: {len(found)} faults", *found])


def check_gradients(net: NeuralNetwork, x: object, y: object, *, entries: int = 20, seed: int = 0) -> None:
    """Assert that the gradients are those of the loss, by central differences in float64 on NumPy.

    Of each parameter, ``entries`` elements drawn at random are moved by +-h. In training mode: dropout keeps the masks
    of the next step. An element passes if one of STEPS agrees within its rounding and its truncation; at a kink what
    lies between the slopes of its sides does. The message of the AssertionError names the parameter and the element.
    """
    __tracebackhide__ = True
    entries = positive("entries", entries)
    copy = net.to("numpy", dtype="float64", arithmetic="fast")
    loss, gradients = copy.gradients(x, y)
    rng = np.random.default_rng(seed)
    for name, gradient in gradients.items():
        value = np.array(copy.parameters[name])
        for flat in rng.choice(value.size, min(entries, value.size), replace=False):
            index = tuple(int(i) for i in np.unravel_index(flat, value.shape))
            found = float(gradient[index])
            agrees, slope = _is_slope(found, float(loss), partial(_moved_loss, copy, x, y, name, value, index))
            if not agrees:
                copy.set_parameters({name: value})
                raise AssertionError(
                    f"gradient of {name}[{', '.join(map(str, index))}]: expected {slope:.10g}, by central "
                    f"differences; got {found:.10g}"
                )
        copy.set_parameters({name: value})


def _is_slope(got: float, loss: float, moved: Callable[[float], float]) -> tuple[bool, float]:
    """Return whether ``got`` is the derivative of ``moved`` at 0, where it is ``loss``; and the last difference."""
    sides: list[tuple[float, float]] = []
    for h in STEPS:
        sides.append(((moved(h) - loss) / h, (loss - moved(-h)) / h))
        slope, gap = sum(sides[-1]) / 2, abs(sides[-1][0] - sides[-1][1])
        # The loss is a sum of terms of its own size: a few roundings of it, over the step. The error of truncation is
        # of the third order, below the second order's share of h where that is not small. Where it is, the wider
        # difference was off by 10 times as much (where the curvature jumps) or 100, most of what is between the two;
        # more than a share of 1e-4 is not granted, so that a kink within the wider one excuses nothing.
        rounding = 64 * float(np.finfo(np.float64).eps) * max(abs(loss), 1.0) / h
        between = abs(slope - sum(sides[-2]) / 2) if len(sides) > 1 else 0.0
        if abs(slope - got) <= rounding + max(h * gap, min(between / 5, 1e-4 * abs(slope))):
            return True, slope
    # A gap that is the same however near its sides come is a kink here: what lies between is a subgradient. That of a
    # curve shrinks with the step, that of a jump grows. The error of a side is of the second order.
    wide, narrow = (abs(above - below) for above, below in (sides[0], sides[-1]))
    rounding += max(abs(now - before) for now, before in zip(sides[-1], sides[-2], strict=True)) / 5
    return wide / 2 < narrow < wide * 2 and min(sides[-1]) - rounding <= got <= max(sides[-1]) + rounding, slope


def _moved_loss(
    net: NeuralNetwork, x: object, y: object, name: str, value: np.ndarray, index: tuple[int, ...], by: float
) -> float:
    moved = np.array(value)
    moved[index] += by
    net.set_parameters({name: moved})
    return float(net.gradients(x, y)[0])
