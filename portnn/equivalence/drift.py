"""How far apart the backends' own trainings grow: measured after each step, drawn in decades."""

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
    """The drift of each backend's own training from NumPy's: all that is measured of it, or a part of a report."""

    arithmetic: str
    """"float32", "float64" or "reproducible"."""
    trajectory: dict[str, list[float]] = field(default_factory=dict, kw_only=True)
    """By backend: after each step, the distance of the parameters from NumPy's as a share of their norm."""

    def plot(self, path: Place = None, *, ax: Axes = None) -> Axes:
        """Draw how the parameters drift from NumPy's over the training steps; return the Axes."""
        return draw([self], path, ax)

    def record_drift(self, reference: Runtime, run: Runtime) -> None:
        """Note how far a backend's own run has drifted from NumPy's."""
        with run.backend.scope():
            got = run.backend.to_numpy(run.state.parameters)
        self.trajectory.setdefault(repr(run.backend), []).append(distance(reference.state.parameters, got))


def distance(expected: np.ndarray, got: np.ndarray) -> float:
    """Return the distance of two vectors as a share of the first one's norm; 0 where every element is equal alone."""
    a, b = expected.astype(np.float64), got.astype(np.float64)
    tiny = float(np.finfo(np.float64).tiny)
    found = float(np.linalg.norm(a - b) / max(float(np.linalg.norm(a)), tiny))
    return found if found or np.array_equal(a, b) else tiny  # squares of little differences are 0


def drift(
    net: NeuralNetwork, x: object, y: object, *, backends: Sequence[str] | None, steps: int, batch_size: int = 32
) -> Drift:
    """Take the same training steps on NumPy and on each backend, in the libraries' own arithmetic, judging none."""
    reference, dataset = net.to("numpy", arithmetic="fast").prepare(x, y)
    runs = [reference.to(backend) for backend in comparison_backends(backends)]
    found = Drift(reference.dtype)
    for batch in batches(reference, dataset, steps, batch_size):
        with reference.backend.scope():
            reference.step(batch)
        for run in runs:
            stepped(run, batch)
            found.record_drift(reference, run)
    return found


def draw(drifts: Iterable[Drift], path: Place = None, ax: Axes = None) -> Axes:
    """Draw the largest drift of each backend in each arithmetic; return the Axes."""
    largest: dict[tuple[str, str], list[float]] = {}
    for each in drifts:
        for backend, values in each.trajectory.items():
            before = largest.get((backend, each.arithmetic), [])
            pairs = list(zip_longest(values, before, fillvalue=0.0))
            largest[backend, each.arithmetic] = np.max(pairs, axis=1).tolist()  # NaN where one of them is
    return plot.drift(largest, path, ax=ax)
