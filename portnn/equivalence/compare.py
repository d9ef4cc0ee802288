"""The proof of equivalence: the same network on several backends, each piece of a step within a derived bound.

Every piece (a layer's output and gradients, the loss, the optimizer's update) starts on every backend from the
reference's own inputs, so that bounds do not compound, and is judged by its true value (truth.py), NumPy's as all
others. A library that computes otherwise once it compiles (JAX) takes all pieces as one compiled function. Beside the
pieces stands the whole step as the backend runs it (compiled, fused), from the reference's state. Trajectories are
reported, not bounded.

A piece that is further off than independent rounding errors explain, and no further than those that conspire, is taken
again on drawn numbers of its shapes and magnitudes: constant columns make errors conspire in any library, drawn numbers
in none. What is off there too (TF32, bfloat16) is broken.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

from portnn.backend import get_backend
from portnn.equivalence.lockstep import batches, comparison_backends, mapped, stepped, to_backend
from portnn.equivalence.oracle import Name, Oracle, Reference, StepInputs, pieces, resample, trace_step, updated
from portnn.equivalence.report import Measurement, Report, environment
from portnn.errors import DTypeError
from portnn.model.runtime import Runtime
from portnn.model.state import Counters, Snapshot
from portnn.network import NeuralNetwork
from portnn.options import check_positive_int
from portnn.types import Batch


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

    Parameters
    ----------
    net : NeuralNetwork
    x, y : array
        As for ``fit``.
    backends : sequence of str, optional
        None: all that are available here.
    steps : int
        Training steps.
    batch_size : int
    against : {"auto", "float64", "exact"}
        What computes the true values.
    progress : bool, optional

    Returns
    -------
    Report

    Examples
    --------
    >>> import numpy as np
    >>> from portnn import NeuralNetwork, compare
    >>> x = np.random.default_rng(0).random((20, 3))
    >>> net = NeuralNetwork(3, 4, 1, loss="mse", seed=0, backend="numpy")
    >>> compare(net, x, x[:, :1], backends=["array_api_strict"], steps=2).holds
    True
    """
    from tqdm import tqdm

    steps, batch_size = check_positive_int("steps", steps), check_positive_int("batch_size", batch_size)
    rivals = comparison_backends(backends)
    reference, dataset = net.to("numpy", arithmetic="fast").prepare(x, y)
    home = reference.backend
    judge = Oracle(reference, against, min(batch_size, dataset.rows))
    judged = [home, *rivals]
    report = Report(reference.dtype, environment(judged), list(map(repr, judged)), judge.name)
    runs = [_Judged(reference.to(backend)) for backend in judged]
    shown = tqdm(total=steps * len(runs), unit="step", disable=None if progress is None else not progress, leave=False)
    with shown as bar:
        for number, batch in enumerate(batches(reference, dataset, steps, batch_size), start=1):
            with home.scope():
                before = reference.snapshot()
                record = trace_step(
                    reference, home.xp, reference.updated, StepInputs(before.state, batch), lambda array: array
                )
                start = StepInputs(before.state, batch, record)
                truths = judge.truths(start)
                again = resample(start, number)
            for run in runs:
                bar.set_description(repr(run.backend), refresh=False)
                found = run.judged(start, before.counters, record, truths, number)
                if any(piece.is_suspect for piece in found):
                    with home.scope():
                        other = judge.truths(again)
                    sound = {
                        (p.place, p.what)
                        for p in run.judged(again, before.counters, record, other, number)
                        if p.share <= 1.0
                    }
                    found = [replace(p, conspires=p.is_suspect and (p.place, p.what) in sound) for p in found]
                report.pieces += found
                bar.update()
            with home.scope():
                reference.step(batch)
            for run in runs[1:]:
                run.step(batch, report)
                report.record_drift(reference, run.runtime)
            runs[0].runtime.restore(reference.snapshot())
    report.fingerprints.update({repr(run.backend): run.runtime.fingerprint() for run in runs})
    return report


class _Judged:
    """A backend's own training beside NumPy's, and what it makes of each of NumPy's steps."""

    def __init__(self, runtime: Runtime) -> None:
        self.runtime, self.backend = runtime, runtime.backend
        # One function a network: eagerly, JAX would compile each operation for each shape.
        take: Callable[..., Any] = partial(pieces, runtime)
        run = (
            partial(self.backend.call_in_scope, take, 2)
            if self.backend.preserves_op_order
            else self.backend.compile(take, 2)
        )
        self._pieces = partial(run, self.backend.xp, runtime.updated)

    def judged(
        self,
        start: StepInputs,
        counters: Counters,
        like: Mapping[Name, Any],
        truths: Mapping[Name, Reference],
        number: int,
    ) -> list[Measurement]:
        """Take the pieces of a step and the whole step, and measure each; ``like``: NumPy's, for dtypes."""
        backend, run = self.backend, self.runtime
        with backend.scope():
            move = partial(to_backend, backend, run.dtype)
            own = run.snapshot()
            run.restore(Snapshot(mapped(move, start.state), counters))
            inputs = {name: move(array) for name, array in (start.inputs or {}).items()}
            batch = tuple(map(move, start.batch))
            taken = self._pieces(mapped(move, start.state), batch, run.key, run.hyperparams, inputs)
            got = {name: backend.to_numpy(array) for name, array in taken.items()}
            refused = None
            try:
                run.step(batch)
                got |= updated(run, "whole step", get_backend("numpy").xp, mapped(backend.to_numpy, run.state))
            except DTypeError as error:  # promoted: the piece where it began is in the report
                refused = error
            run.restore(own)
            measured = []
            for (place, what), value in got.items():
                expected = like["update" if place == "whole step" else place, what]
                truth = truths[place, what]
                measured.append(Measurement.measured(repr(backend), number, place, what, expected, value, truth))
        if refused is not None and all(piece.share <= 1.0 for piece in measured):
            raise refused
        return measured

    def step(self, batch: Batch, report: Report) -> None:
        """Take the step of the backend's own training; one that is refused was seen in the report."""
        try:
            stepped(self.runtime, batch)
        except DTypeError:
            if report.holds:
                raise
