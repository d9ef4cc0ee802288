"""The proof of equivalence: each tensor of a step on several backends lies within a derived bound of its true value.

Every tensor (a layer's output and gradients, the loss, the optimizer's update) is computed on every backend from the
reference's inputs, so that bounds do not compound, and compared with its true value (oracle.py); NumPy's tensors are
too. A library whose compiled results differ from its eager ones (JAX) computes all tensors in one compiled function.
The whole step, as the backend runs it (compiled, fused), is measured beside them, from the reference's state.
Trajectories are reported, not bounded.

If an error exceeds the bound for independent rounding errors, but not the worst-case bound, the tensor is computed
again from random inputs of the same shapes and magnitudes: constant columns correlate rounding errors in any library,
random numbers in none. An error that remains (TF32, bfloat16) is a failure.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

from portnn.backend import get_backend
from portnn.equivalence.lockstep import batches, comparison_backends, mapped, stepped, to_backend
from portnn.equivalence.oracle import Name, Oracle, Reference, StepInputs, resample, trace_step, trace_tensors, updated
from portnn.equivalence.report import Measurement, Report, environment
from portnn.errors import DTypeError
from portnn.model.runtime import Runtime
from portnn.model.state import Counters, Snapshot
from portnn.network import NeuralNetwork
from portnn.options import check_positive_int
from portnn.train.progress import progress_bar
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
    steps, batch_size = check_positive_int("steps", steps), check_positive_int("batch_size", batch_size)
    others = comparison_backends(backends)
    reference, dataset = net.to("numpy", arithmetic="fast").prepare(x, y)
    home = reference.backend
    judge = Oracle(reference, against, min(batch_size, dataset.rows))
    measured = [home, *others]
    report = Report(reference.dtype, environment(measured), list(map(repr, measured)), judge.name)
    runs = [_MeasuredBackend(reference.to(backend)) for backend in measured]
    with progress_bar(progress, steps * len(runs)) as bar:
        for number, batch in enumerate(batches(reference, dataset, steps, batch_size), start=1):
            with home.scope():
                snapshot = reference.snapshot()
                record = trace_step(
                    reference, home.xp, reference.updated, StepInputs(snapshot.state, batch), lambda array: array
                )
                start = StepInputs(snapshot.state, batch, record)
                references = judge.references(start)
                again = resample(start, number)
            for run in runs:
                bar.set_description(repr(run.backend), refresh=False)
                measurements = run.measure(start, snapshot.counters, record, references, number)
                if any(m.is_suspect for m in measurements):
                    with home.scope():
                        other = judge.references(again)
                    sound = {
                        (m.place, m.what)
                        for m in run.measure(again, snapshot.counters, record, other, number)
                        if m.share <= 1.0
                    }
                    measurements = [
                        replace(m, conspires=m.is_suspect and (m.place, m.what) in sound) for m in measurements
                    ]
                report.pieces += measurements
                bar.update()
            with home.scope():
                reference.step(batch)
            for run in runs[1:]:
                run.step(batch, report)
                report.record_drift(reference, run.runtime)
            runs[0].runtime.restore(reference.snapshot())
    report.fingerprints.update({repr(run.backend): run.runtime.fingerprint() for run in runs})
    return report


class _MeasuredBackend:
    """A backend's own training beside NumPy's, and its results from each of NumPy's steps."""

    def __init__(self, runtime: Runtime) -> None:
        self.runtime, self.backend = runtime, runtime.backend
        # One compiled function: eagerly, JAX would compile each operation for each shape.
        take: Callable[..., Any] = partial(trace_tensors, runtime)
        run = (
            partial(self.backend.call_in_scope, take, 2)
            if self.backend.preserves_op_order
            else self.backend.compile(take, 2)
        )
        self._trace = partial(run, self.backend.xp, runtime.updated)

    def measure(
        self,
        start: StepInputs,
        counters: Counters,
        expected: Mapping[Name, Any],
        references: Mapping[Name, Reference],
        number: int,
    ) -> list[Measurement]:
        """Compute the tensors of a step and the whole step, and measure each; ``expected`` has NumPy's dtypes."""
        backend, run = self.backend, self.runtime
        with backend.scope():
            move = partial(to_backend, backend, run.dtype)
            snapshot = run.snapshot()
            run.restore(Snapshot(mapped(move, start.state), counters))
            inputs = {name: move(array) for name, array in (start.inputs or {}).items()}
            batch = tuple(map(move, start.batch))
            tensors = self._trace(mapped(move, start.state), batch, run.key, run.hyperparams, inputs)
            tensors_on_host = {name: backend.to_numpy(array) for name, array in tensors.items()}
            refusal = None
            try:
                run.step(batch)
                numpy_state = mapped(backend.to_numpy, run.state)
                tensors_on_host |= updated(run, "whole step", get_backend("numpy").xp, numpy_state)
            except DTypeError as error:  # a promoted dtype; the report has the tensor in which it began
                refusal = error
            run.restore(snapshot)
            measured = []
            for (layer, tensor), value in tensors_on_host.items():
                like, reference = (
                    expected["update" if layer == "whole step" else layer, tensor],
                    references[layer, tensor],
                )
                measured.append(Measurement.measured(repr(backend), number, layer, tensor, like, value, reference))
        if refusal is not None and all(m.share <= 1.0 for m in measured):
            raise refusal
        return measured

    def step(self, batch: Batch, report: Report) -> None:
        """Run the step of the backend's own training; a dtype error is in the report already."""
        try:
            stepped(self.runtime, batch)
        except DTypeError:
            if report.holds:
                raise
