"""The proof of equivalence: the same network on several backends, each piece of a step within a derived bound.

Every piece (a layer's output and gradients, the loss, the optimizer's update) starts on every backend from the
reference's own inputs, so that bounds do not compound; the reference is NumPy. Beside the pieces stands the whole step
as the backend runs it (compiled, fused), from the reference's state. Trajectories are reported, not bounded.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

import numpy as np

from portnn.backend import by_stretches, get_backend
from portnn.core.runtime import Runtime, Snapshot
from portnn.core.step import State, Update
from portnn.equivalence.report import Piece, Report, environment
from portnn.equivalence.runs import batches, mapped, moved, named
from portnn.errors import DTypeError
from portnn.namespaces.bounds import LAMBDA, Bounded, BoundingNamespace
from portnn.network import NeuralNetwork
from portnn.options import positive
from portnn.types import Array, Batch, Namespace

Name = tuple[str, str]
"""Where ("1 Dense", "loss", "update", "whole step") and what ("output", "dW", "W1")."""


def compare(
    net: NeuralNetwork,
    x: object,
    y: object,
    *,
    backends: Sequence[str] | None = None,
    steps: int = 3,
    batch_size: int = 32,
) -> Report:
    """Take the same training steps on NumPy and on each backend, and measure how far apart they are.

    ``x`` and ``y`` are as for ``fit``, and so are the batches; ``backends=None`` takes all that are available. The
    network is left as it is; one in reproducible arithmetic, whose bits are equal (``compare_bits``), is compared in
    the libraries' own. Raises BackendUnavailableError for a backend that cannot run here and where there is none
    beside NumPy, so that no check passes that compared nothing; ArgumentError for NumPy alone; and what ``fit`` raises
    for data that cannot be used.
    """
    steps, batch_size = positive("steps", steps), positive("batch_size", batch_size)
    names = named(backends)
    reference, dataset = net.to("numpy", arithmetic="fast").prepared(x, y)
    home = reference.backend
    others = [backend for backend in map(get_backend, names) if backend is not home]
    report = Report(environment([home, *others]), [repr(backend) for backend in others])
    runs, steppers = ([reference.to(backend) for backend in others] for _ in range(2))
    for number, batch in enumerate(batches(reference, dataset, steps, batch_size), start=1):
        with home.scope():
            before = reference.snapshot()
            expected = _walk(reference, home.xp, reference.updated, before.state, batch, lambda name, a: a)
            bounds = [_bounds(reference, before.state, batch, expected, factor) for factor in (LAMBDA, math.inf)]
            reference.step(batch)
        for run, stepper in zip(runs, steppers, strict=True):
            backend = run.backend
            with backend.scope():
                move = partial(moved, backend, reference.dtype)
                state, there = mapped(move, before.state), tuple(map(move, batch))
                got = _walk(run, backend.xp, run.updated, state, there, lambda name, a: move(expected[name]))  # noqa: B023
                stepper.restore(Snapshot(state, before.counters))
                refused = None
                try:
                    stepper.step(there)
                    got |= _updated(run, "whole step", backend.xp, stepper.state)
                    run.step(tuple(map(move, batch)))
                except DTypeError as error:  # promoted: the piece where it began is in the report
                    refused = error
                for (place, what), value in got.items():
                    expect = expected["update" if place == "whole step" else place, what]
                    probable, worst = (bound[place, what] for bound in bounds)
                    report.pieces.append(
                        Piece.measured(
                            repr(backend),
                            number,
                            place,
                            what,
                            np.asarray(expect),
                            backend.to_numpy(value),
                            probable,
                            worst,
                        )
                    )
                if refused is not None and report.holds:
                    raise refused
                report.follow(repr(backend), reference.state.parameters, backend.to_numpy(run.state.parameters))
    report.fingerprints.update({repr(run.backend): run.fingerprint() for run in [reference, *runs]})
    return report


def _walk(
    runtime: Runtime, xp: Namespace, update: Update, state: State, batch: Batch, given: Callable[[Name, Array], Array]
) -> dict[Name, Array]:
    """Take the core's own step, seen piece by piece; ``given(name, array)`` returns what the next piece starts from."""
    results: dict[Name, Array] = {}
    layers = runtime.core.architecture.layers

    def look(place: int | str, what: str, array: Any) -> Any:
        if isinstance(array, Mapping):
            return {key: look(place, what + key, value) for key, value in array.items()}
        name = f"{place + 1} {type(layers[place]).__name__}" if isinstance(place, int) else place, what
        results[name] = array
        return given(name, array)

    new, _ = runtime.core.step(xp, update, state, batch, runtime.key, runtime.dials, look)
    return results | _updated(runtime, "update", xp, new)


def _updated(runtime: Runtime, place: str, xp: Namespace, state: State) -> dict[Name, Array]:
    core = runtime.core
    named = {(place, name): a for name, a in core.parameters.named(xp, state.parameters).items()}
    named |= {(place, name): a for name, a in core.buffers.named(xp, state.buffers).items()}
    return named | {(place, name): slot for name, slot in zip(runtime.chain.slots, state.slots, strict=True)}


def _bounds(
    reference: Runtime, state: State, batch: Batch, record: dict[Name, np.ndarray], factor: float
) -> dict[Name, np.ndarray]:
    """Return the bound on the error of each piece, and of the whole step, where errors do compound."""
    xp = BoundingNamespace(factor)

    def exact(array: Any) -> Any:
        if not isinstance(array, np.ndarray):
            return array
        return Bounded(array.astype(np.float64) if array.dtype.kind == "f" else array, 0.0, array.dtype)

    layout = reference.core.parameters
    run = partial(by_stretches, reference.chain.stretches(layout.decayed, layout.size))
    x, y, weight = map(exact, batch)
    walk = partial(_walk, reference, xp, partial(reference.chain.update, run), mapped(exact, state), (x, y, weight))
    pieces = walk(lambda name, a: exact(record[name]))
    whole = {("whole step", what): a for (place, what), a in walk(lambda name, a: a).items() if place == "update"}
    return {name: a.error for name, a in (pieces | whole).items()}
