"""The drift of the backends' own trainings: their distance from NumPy's after each step."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from itertools import zip_longest

import numpy as np

from portnn import plot
from portnn.equivalence.lockstep import batches, comparison_backends, stepped
from portnn.model.runtime import Runtime
from portnn.network import NeuralNetwork
from portnn.plot.canvas import Axes, Place


@dataclass
class Drift:
    """The distance of each backend's own training from NumPy's."""

    arithmetic: str
    """"float32", "float64" or "reproducible"."""
    trajectory: dict[str, list[float]] = field(default_factory=dict, kw_only=True)
    """Relative distance of the parameters from NumPy's by backend, after each step."""

    def plot(self, path: Place = None, *, ax: Axes = None) -> Axes:
        """Draw how the parameters drift from NumPy's over the training steps; return the Axes."""
        return draw([self], path, ax)

    def record_drift(self, reference: Runtime, run: Runtime) -> None:
        """Append the distance of a backend's own run from NumPy's."""
        with run.backend.scope():
            got = run.backend.to_numpy(run.state.parameters)
        self.trajectory.setdefault(repr(run.backend), []).append(distance(reference.state.parameters, got))


def distance(expected: np.ndarray, got: np.ndarray) -> float:
    """Return ||expected - got|| / ||expected||; 0 if all elements are equal, also infinities."""
    a, b = expected.astype(np.float64), got.astype(np.float64)
    tiny = float(np.finfo(np.float64).tiny)
    relative = float(np.linalg.norm(a - b) / max(float(np.linalg.norm(a)), tiny))
    return relative if relative or np.array_equal(a, b) else tiny  # the squares of small differences underflow


def drift(
    net: NeuralNetwork, x: object, y: object, *, backends: Sequence[str] | None, steps: int, batch_size: int = 32
) -> Drift:
    """Run the same training steps on NumPy and on each backend, in the libraries' own arithmetic, without bounds."""
    reference, dataset = net.to("numpy", arithmetic="fast").prepare(x, y)
    runs = [reference.to(backend) for backend in comparison_backends(backends)]
    result = Drift(reference.dtype)
    for batch in batches(reference, dataset, steps, batch_size):
        with reference.backend.scope():
            reference.step(batch)
        for run in runs:
            stepped(run, batch)
            result.record_drift(reference, run)
    return result


def draw(drifts: Iterable[Drift], path: Place = None, ax: Axes = None) -> Axes:
    """Draw the largest drift of each backend in each arithmetic; return the Axes."""
    largest: dict[tuple[str, str], list[float]] = {}
    for measured in drifts:
        for backend, values in measured.trajectory.items():
            previous = largest.get((backend, measured.arithmetic), [])
            pairs = list(zip_longest(values, previous, fillvalue=0.0))
            largest[backend, measured.arithmetic] = np.max(pairs, axis=1).tolist()  # NaN if one of them is NaN
    return plot.drift(largest, path, ax=ax)
