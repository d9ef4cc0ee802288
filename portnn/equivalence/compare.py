"""The proof of equivalence: the same network on several backends, each piece of a step within a derived bound.

Every piece (a layer's output and gradients, the loss, the optimizer's update) starts on every backend from the
reference's own inputs, so that bounds do not compound, and is judged by its true value (truth.py), NumPy's as all
others. Beside the pieces stands the whole step as the backend runs it (compiled, fused), from the reference's state.
Trajectories are reported, not bounded.

A piece that is further off than independent rounding errors explain, and no further than those that conspire, is taken
again on drawn numbers of its shapes and magnitudes: constant columns make errors conspire in any library, drawn numbers
in none. What is off there too (TF32, bfloat16) is broken.
"""

from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from typing import Any

from portnn.core.runtime import Counters, Runtime, Snapshot
from portnn.equivalence.drift import follow
from portnn.equivalence.report import Piece, Report, environment
from portnn.equivalence.runs import batches, mapped, moved, others
from portnn.equivalence.truth import Judge, Name, Start, Truth, drawn, updated, walk
from portnn.errors import DTypeError
from portnn.network import NeuralNetwork
from portnn.options import positive


def compare(
    net: NeuralNetwork,
    x: object,
    y: object,
    *,
    backends: Sequence[str] | None = None,
    steps: int = 3,
    batch_size: int = 32,
    against: str = "auto",
    progress: bool | None = False,
) -> Report:
    """Take the same training steps on NumPy and on each backend, and measure how far each is from the truth.

    ``x`` and ``y`` are as for ``fit``, and so are the batches; ``backends=None`` takes all that are available. The
    network is left as it is; one in reproducible arithmetic, whose bits are equal (``compare_bits``), is compared in
    the libraries' own. ``against="exact"`` has numbers of 50 digits (mpmath) for the truth, however long that takes;
    by itself small networks in float64 have. ``progress=None`` shows a bar on a terminal.

    Raises BackendUnavailableError for a backend that cannot run here and where there is none beside NumPy, so that no
    check passes that compared nothing; ArgumentError for NumPy alone; and what ``fit`` raises for data that cannot be
    used.
    """
    from tqdm import tqdm

    steps, batch_size = positive("steps", steps), positive("batch_size", batch_size)
    rivals = others(backends)
    reference, dataset = net.to("numpy", arithmetic="fast").prepared(x, y)
    home = reference.backend
    judge = Judge(reference, against, min(batch_size, dataset.rows))
    judged = [home, *rivals]
    report = Report(environment(judged), list(map(repr, judged)), reference.dtype, judge.name)
    runs, steppers = ([reference.to(backend) for backend in judged] for _ in range(2))
    shown = tqdm(total=steps * len(runs), unit="step", disable=None if progress is None else not progress, leave=False)
    with shown as bar:
        for number, batch in enumerate(batches(reference, dataset, steps, batch_size), start=1):
            with home.scope():
                before = reference.snapshot()
                record = walk(reference, home.xp, reference.updated, Start(before.state, batch), lambda array: array)
                start = Start(before.state, batch, record)
                truths = judge.truths(start)
                again = drawn(start, number)
            for run, stepper in zip(runs, steppers, strict=True):
                bar.set_description(repr(run.backend), refresh=False)
                pieces = _judged(run, stepper, start, before.counters, record, truths, number)
                if any(piece.is_suspect for piece in pieces):
                    with home.scope():
                        other = judge.truths(again)
                    sound = {
                        (p.place, p.what)
                        for p in _judged(run, stepper, again, before.counters, record, other, number)
                        if p.share <= 1.0
                    }
                    pieces = [replace(p, conspires=p.is_suspect and (p.place, p.what) in sound) for p in pieces]
                report.pieces += pieces
                bar.update()
            with home.scope():
                reference.step(batch)
            for run in runs[1:]:
                with run.backend.scope():
                    _step(run, batch, report)
                follow(report, reference, run)
            runs[0].restore(reference.snapshot())
    report.fingerprints.update({repr(run.backend): run.fingerprint() for run in runs})
    return report


def _judged(
    run: Runtime,
    stepper: Runtime,
    start: Start,
    counters: Counters,
    like: dict[Name, Any],
    truths: dict[Name, Truth],
    number: int,
) -> list[Piece]:
    """Take the pieces of a step and the whole step on a backend, and measure each; ``like``: NumPy's, for dtypes."""
    backend = run.backend
    with backend.scope():
        move = partial(moved, backend, run.dtype)
        got = walk(run, backend.xp, run.updated, start, move)
        stepper.restore(Snapshot(mapped(move, start.state), counters))
        refused = None
        try:
            stepper.step(tuple(map(move, start.batch)))
            got |= updated(run, "whole step", backend.xp, stepper.state)
        except DTypeError as error:  # promoted: the piece where it began is in the report
            refused = error
        pieces = []
        for (place, what), value in got.items():
            expected = like["update" if place == "whole step" else place, what]
            host = backend.to_numpy(value)
            pieces.append(Piece.measured(repr(backend), number, place, what, expected, host, truths[place, what]))
    if refused is not None and all(piece.share <= 1.0 for piece in pieces):
        raise refused
    return pieces


def _step(run: Runtime, batch: Any, report: Report) -> None:
    """Take the step of a backend's own run; one that is refused was seen in the report."""
    try:
        run.step(tuple(map(partial(moved, run.backend, run.dtype), batch)))
    except DTypeError:
        if report.holds:
            raise
