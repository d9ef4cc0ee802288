"""The proof of equal bits: the same training on several backends, hashed after each epoch.

If the bits differ, the step runs again from the state before it, and every operation of the namespace and every hooked
tensor is recorded on both backends: the first difference is reported.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import numpy as np

from portnn import hashing
from portnn.backend import Backend, apply_param_groups
from portnn.equivalence.lockstep import batches, comparison_backends, stepped, to_backend
from portnn.equivalence.oracle import updated
from portnn.equivalence.report import Comparison, environment
from portnn.model.runtime import Runtime
from portnn.model.state import Snapshot
from portnn.network import NeuralNetwork
from portnn.options import check_positive_int
from portnn.types import Array, Batch, Namespace


@dataclass
class BitsReport(Comparison):
    """The result of ``compare_bits``.

    Examples
    --------
    >>> import numpy as np
    >>> from portnn import NeuralNetwork, compare_bits
    >>> x = np.random.default_rng(0).random((20, 3))
    >>> net = NeuralNetwork(3, 4, 1, loss="mse", seed=0, backend="numpy")
    >>> report = compare_bits(net, x, x[:, :1], backends=["array_api_strict"], steps=1)
    >>> report.holds, report.differences
    (True, {})
    """

    steps: int
    fingerprints: dict[str, list[str]] = field(default_factory=dict)
    """SHA-256 of parameters and buffers by backend, after each epoch and at the end."""
    differences: dict[str, str] = field(default_factory=dict)
    """First step and first operation or tensor that differ, by backend whose bits differ."""

    title = "Bits of backends"
    schema = "portnn.bits/1"

    @property
    def holds(self) -> bool:
        """Whether there was another backend, and all have the same bits."""
        return len(self.fingerprints) > 1 and not self.differences

    def verdict(self) -> str:
        """Return one line a backend."""
        no_difference = f"the same bits as NumPy after {self.steps} steps"
        return "\n".join(f"{name}: {self.differences.get(name, no_difference)}" for name in self.backends[1:])

    def __str__(self) -> str:
        lines = [f"{name:<28} {digest}" for name, prints in self.fingerprints.items() for digest in prints]
        return "\n".join([*lines, "", self.verdict()])

    def _tables(self) -> list[str]:
        rows = [
            f"| {number} | {name} | `{digest}` |"
            for name, prints in self.fingerprints.items()
            for number, digest in enumerate(prints, start=1)
        ]
        return ["| epoch | backend | SHA-256 of the weights |", "| --- | --- | --- |", *rows]


def compare_bits(
    net: NeuralNetwork,
    x: object,
    y: object,
    *,
    backends: Sequence[str] | None = None,
    steps: int = 200,
    batch_size: int = 32,
) -> BitsReport:
    """Take the same training steps on NumPy and on each backend, in the network's arithmetic, and compare all bits.

    Parameters, buffers, the optimizer's vectors and the loss are compared after each step; a backend that differs goes
    no further. ``x``, ``y``, ``backends`` and errors are as for ``compare``; the network is left as it is.

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

    Returns
    -------
    BitsReport

    Examples
    --------
    >>> import numpy as np
    >>> from portnn import NeuralNetwork, compare_bits
    >>> x = np.random.default_rng(0).random((20, 3))
    >>> net = NeuralNetwork(3, 4, 1, loss="mse", arithmetic="reproducible", seed=0, backend="numpy")
    >>> compare_bits(net, x, x[:, :1], backends=["array_api_strict"], steps=2).holds
    True
    """
    steps, batch_size = check_positive_int("steps", steps), check_positive_int("batch_size", batch_size)
    others = comparison_backends(backends)
    reference, dataset = net.to("numpy").prepare(x, y)
    home = reference.backend
    runs = [reference.to(backend) for backend in others]
    used = [home, *(run.backend for run in runs)]
    report = BitsReport(reference.arithmetic, environment(used), list(map(repr, used)), steps)
    report.fingerprints |= {name: [] for name in report.backends}
    steps_per_epoch = -(-dataset.rows // batch_size)
    for number, batch in enumerate(batches(reference, dataset, steps, batch_size), start=1):
        with home.scope():
            snapshot = reference.snapshot()
            expected = _bits(reference, reference.step(batch))
        for run in list(runs):
            with run.backend.scope():
                run_snapshot = run.snapshot()
                is_equal = _bits(run, stepped(run, batch)) == expected
            report.record_drift(reference, run)
            if not is_equal:
                difference = _first_difference(reference, snapshot, run, run_snapshot, batch)
                report.differences[repr(run.backend)] = f"DIFFERS first at step {number}: {difference}"
                runs.remove(run)
        if number % steps_per_epoch == 0 or number == steps:
            for run in (reference, *runs):
                report.fingerprints[repr(run.backend)].append(run.fingerprint())
            if number % steps_per_epoch == 0:
                for run in (reference, *runs):
                    run.end_epoch()
    return report


def _bits(run: Runtime, loss: Array) -> list[bytes]:
    """Return the bits of the state and of the loss."""
    state = run.state
    return [_digest(run.backend, array) for array in (state.parameters, state.buffers, *state.opt_state, loss)]


def _digest(backend: Backend, array: Array) -> bytes:
    host = np.ascontiguousarray(backend.to_numpy(array))
    return hashing.sha256(f"{host.dtype.name} {host.shape}".encode() + host.tobytes()).digest()


def _first_difference(
    reference: Runtime, snapshot: Snapshot, run: Runtime, run_snapshot: Snapshot, batch: Batch
) -> str:
    """Return the first operation of a step with other bits on a backend than on NumPy."""
    with reference.backend.scope():
        expected = _record(reference, snapshot, batch)
    with run.backend.scope():
        calls = _record(run, run_snapshot, tuple(to_backend(run.backend, run.dtype, array) for array in batch))
    for i, (expected_call, call) in enumerate(zip(expected, calls, strict=False)):
        if expected_call == call:
            continue
        tensor = next((call.name for call in expected[i:] if call.is_tensor), "the update")
        if not expected_call.is_tensor and expected_call.name == call.name and expected_call.inputs == call.inputs:
            return f"xp.{expected_call.name}, of the same arguments, on the way to {tensor}"
        return f"an operator on the way to {tensor}" + (
            "" if expected_call.is_tensor else f", before xp.{expected_call.name}"
        )
    return "the step as the backend runs it (compiled, in blocks); taken operation by operation it has NumPy's bits"


@dataclass(frozen=True)
class _Call:
    """A recorded call of an operation with its arguments, or a hooked tensor."""

    name: str
    inputs: tuple[bytes, ...]
    result: bytes
    is_tensor: bool = False


def _record(run: Runtime, snapshot: Snapshot, batch: Batch) -> list[_Call]:
    """Run a step from a snapshot operation by operation; return the record. ``run`` is restored afterwards."""
    calls: list[_Call] = []
    layers, layout, chain = run.model.architecture.layers, run.model.parameters, run.chain
    digest = partial(_digest, run.backend)

    def hook(layer: int | str, name: str, array: Any) -> Any:
        if isinstance(array, Mapping):
            for key, value in array.items():
                hook(layer, name + key, value)
            return array
        location = f"{layer + 1} {type(layers[layer]).__name__}" if isinstance(layer, int) else layer
        calls.append(_Call(f"{location}, {name}", (), digest(array), is_tensor=True))
        return array

    counters, run.counters = run.counters, snapshot.counters
    try:
        xp = _RecordingNamespace(run.xp, calls, digest, run.backend.owns)
        update = partial(chain.update, partial(apply_param_groups, chain.param_groups(layout.n_decayed, layout.size)))
        new, loss = run.model.step(xp, update, snapshot.state, batch, run.key, run.hyperparams, hook)
    finally:
        run.counters = counters
    for (layer, name), array in updated(run, "update", run.backend.xp, new).items():
        hook(layer, name, array)
    hook("loss", "loss", loss)
    return calls


class _RecordingNamespace:
    """A namespace that records the arguments and results of its operations."""

    def __init__(self, xp: Namespace, calls: list[_Call], digest: Any, owns: Any) -> None:
        self._xp, self._calls, self._digest, self._owns = xp, calls, digest, owns

    def __getattr__(self, name: str) -> Any:
        value = getattr(self._xp, name)
        if name == "finfo" or name.startswith(("float", "int")):  # dtypes
            return value

        def call(*arguments: Any, **options: Any) -> Any:
            operands = [
                a for argument in arguments for a in (argument if isinstance(argument, list | tuple) else (argument,))
            ]
            inputs = tuple(self._digest(a) for a in operands if self._owns(a))
            result = value(*arguments, **options)
            self._calls.append(_Call(name, inputs, self._digest(result)))
            return result

        return call
