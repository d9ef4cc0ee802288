"""Data-parallel training: the ranks take one process's batches and end with its weights."""

import json
import logging
import os
import pickle
import re
import shutil
import signal
import subprocess
import sys
import threading
import time
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pytest
import registered
from conftest import ROOT

from portnn import (
    SGD,
    Adam,
    ArgumentError,
    BatchNorm,
    Conv2D,
    DataError,
    Dense,
    DistributedError,
    Dropout,
    Flatten,
    GaussianNoise,
    Layer,
    MaxPool2D,
    NeuralNetwork,
    Shapes,
    Standardize,
    available_backends,
    get_backend,
    register,
)
from portnn.callbacks import CSVLogger, EarlyStopping
from portnn.distributed import communicator_of
from portnn.interrupts import Deferred
from portnn.nn import windows
from portnn.train import loop

RNG = np.random.default_rng(0)
X = RNG.standard_normal((70, 5))
Y = RNG.integers(0, 3, 70)


@dataclass
class Board:
    """What the threads that stand for ranks share."""

    size: int
    values: list = field(default_factory=list)
    barrier: threading.Barrier = None
    aborted: list = field(default_factory=list)

    def __post_init__(self):
        self.values, self.barrier = [None] * self.size, threading.Barrier(self.size, timeout=20)


@dataclass
class ThreadCommunicator:
    """A communicator between threads of one process."""

    rank: int
    board: Board

    @property
    def size(self):
        return self.board.size

    def all_gather(self, value):
        self.board.barrier.wait()
        self.board.values[self.rank] = value
        self.board.barrier.wait()
        gathered = pickle.loads(pickle.dumps(self.board.values))  # as between processes
        self.board.barrier.wait()
        return gathered

    def all_reduce(self, array, op="sum", overwrite=False):
        gathered = self.all_gather(np.array(array))
        return np.max(gathered, axis=0) if op == "max" else np.sum(gathered[::-1], axis=0)

    def broadcast(self, value):
        return self.all_gather(value)[0]

    def abort(self):
        self.board.aborted.append(self.rank)
        self.board.barrier.abort()


def ranks(size, work):
    """Run ``work(communicator)`` in a thread for each rank; return the results, or the errors."""
    board, results = Board(size), [None] * size

    def run(rank):
        try:
            results[rank] = work(ThreadCommunicator(rank, board))
        except BaseException as error:
            results[rank] = error

    threads = [threading.Thread(target=run, args=(rank,)) for rank in range(size)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    return results, board


def network(*layers, **options):
    options = {
        "output": "softmax",
        "loss": "cross_entropy",
        "dtype": "float64",
        "seed": 3,
        "backend": "numpy",
    } | options
    return NeuralNetwork(5, *(layers or (8,)), 3, **options)


def trained(comm=None, *layers, x=X, y=Y, epochs=3, options=(), **fit):
    net = network(*layers, **dict(options))
    net.fit(x, y, **{"epochs": epochs, "batch_size": 16, "distributed": comm, "metrics": ["accuracy"], **fit})
    return net


def close(net, other):
    """Sums of gradients in another order: a few roundings of each of 15 steps, in float64."""
    for key, value in other.parameters.items():
        np.testing.assert_allclose(net.parameters[key], value, rtol=1e-9, atol=1e-11)
    for key, value in other.buffers.items():
        np.testing.assert_allclose(net.buffers[key], value, rtol=1e-9, atol=1e-11)
    np.testing.assert_allclose(net.history.loss, other.history.loss, rtol=1e-9)
    assert set(net.history.metrics) == set(other.history.metrics)


CASES = {
    "dense": {},
    "standardised, with dropout and noise": {"layers": (Standardize(), GaussianNoise(0.1), 8, Dropout(0.4))},
    "batch normalisation": {"layers": (8, BatchNorm(), "relu")},
    "weights of rows": {"sample_weight": np.linspace(0.1, 2.0, 70)},
    "in order": {"shuffle": False},
    "batches smaller than the ranks": {"batch_size": 2},
    "all rows": {"batch_size": None},
    "held out": {"validation": 0.2},
    "adam": {"options": {"optimizer": Adam(0.01, weight_decay=0.1, clip_norm=1.0)}},
}


SIZES = [
    *((case, 3) for case in CASES),
    *((case, size) for case in ("dense", "batches smaller than the ranks") for size in (2, 4)),
]


@pytest.mark.parametrize(("case", "size"), SIZES)
def test_ranks_train_what_one_process_trains(case, size):
    fit = dict(CASES[case])
    layers = fit.pop("layers", ())
    alone = trained(None, *layers, **fit)
    nets, _ = ranks(size, lambda comm: trained(comm, *layers, **fit))
    assert len({net.fingerprint() for net in nets}) == 1
    assert all(net.history.metrics == nets[0].history.metrics for net in nets)
    close(nets[0], alone)
    assert nets[0].step_count == alone.step_count


EXACT = {"arithmetic": "reproducible"}


@pytest.mark.parametrize(("case", "size"), SIZES)
def test_in_reproducible_arithmetic_ranks_have_the_bits_of_one_process(case, size):
    """Uneven parts, and parts of no row among them."""
    fit = dict(CASES[case])
    layers, options = fit.pop("layers", ()), EXACT | fit.pop("options", {})
    alone = trained(None, *layers, options=options, **fit)
    nets, _ = ranks(size, lambda comm: trained(comm, *layers, options=options, **fit))
    assert {net.fingerprint() for net in nets} == {alone.fingerprint()}
    assert all(net.history.loss == alone.history.loss for net in nets)


@pytest.mark.exhaustive
@pytest.mark.parametrize("name", [name for name, *_ in registered.covering()])
def test_all_that_is_registered_has_the_bits_of_one_process(name):
    def trained(comm):
        net, x, y = next((net, x, y) for found, net, x, y in registered.covering(**EXACT) if found == name)
        net.fit(x, y, epochs=2, batch_size=6, distributed=comm)
        return net.fingerprint()

    assert set(ranks(3, trained)[0]) == {trained(None)}


@pytest.mark.parametrize("options", [{}, EXACT])
def test_ranks_compute_all_images_of_their_part_at_once(options, monkeypatch, caplog):
    """One process computes a few at a time; nobody could follow the rows of a part that is cut again."""
    monkeypatch.setattr(windows, "TILE", 1)
    caplog.set_level(logging.WARNING, "portnn")
    x, y = np.random.default_rng(1).standard_normal((40, 1, 5, 5)), np.arange(40) % 3
    layers = Conv2D(2, 3), "relu", MaxPool2D(2, 1), Flatten()

    def trained(comm):
        kinds = {"output": "softmax", "loss": "cross_entropy", "seed": 0, "backend": "numpy", "dtype": "float64"}
        net = NeuralNetwork((1, 5, 5), *layers, 3, **kinds, **options)
        net.fit(x, y, epochs=2, batch_size=40, distributed=comm)
        return net

    alone, (nets, _) = trained(None), ranks(2, trained)
    assert len({net.fingerprint() for net in [*nets, *([alone] if options else [])]}) == 1
    close(nets[0], alone)
    assert not caplog.text


def test_batches_of_several_exact_blocks_have_the_bits_of_one_process():
    """Products are exact in blocks of 1,024 rows of the batch, sums of more than 4,096 rows in two parts."""
    x = np.random.default_rng(1).standard_normal((5000, 5)) * 10.0 ** np.arange(-2, 3)
    y = (x[:, 0] > 0).astype(int)
    # Adam's first step is the same for many gradients.
    fit = {"x": x, "y": y, "epochs": 1, "batch_size": None, "options": EXACT | {"optimizer": SGD(1.0)}}
    nets, _ = ranks(3, lambda comm: trained(comm, Standardize(), 8, BatchNorm(), **fit))
    assert {net.fingerprint() for net in nets} == {trained(None, Standardize(), 8, BatchNorm(), **fit).fingerprint()}


@pytest.mark.parametrize("backend", ["torch", "array_api_strict"])
def test_reproducible_ranks_on_other_libraries(backend):
    pytest.importorskip(backend)
    fit = {"epochs": 1, "batch_size": 35}
    alone = trained(None, Dropout(0.2), 8, options=EXACT, **fit)
    nets, _ = ranks(2, lambda comm: trained(comm, Dropout(0.2), 8, options=EXACT | {"backend": backend}, **fit))
    assert {net.fingerprint() for net in nets} == {alone.fingerprint()}


@pytest.mark.parametrize("backend", ["torch", "jax", "array_api_strict"])
def test_ranks_on_other_libraries(backend, request):
    pytest.importorskip(backend)
    alone = trained(None, Dropout(0.2), 8)
    nets, _ = ranks(2, lambda comm: trained(comm, Dropout(0.2), 8, options={"backend": backend}))
    assert nets[0].fingerprint() == nets[1].fingerprint()
    close(nets[0].to("numpy"), alone)


@pytest.mark.parametrize("layers", [(Dropout(0.2), 8), (8, BatchNorm())], ids=["dropout", "normalisation"])
def test_ranks_on_two_gpus_of_cupy_sum_by_nccl(layers):
    available = {info.name: info.reason for info in available_backends()}
    if available["cupy"] or len(type(get_backend("cupy")).devices()) < 2:
        pytest.skip(f"cupy: {available['cupy'] or 'one GPU'}")
    alone = trained(None, *layers)

    def work(comm, devices=("0", "1")):
        comm.on_device = True
        comm.all_reduce = None  # never through the host
        return trained(comm, *layers, options={"backend": f"cupy:{devices[comm.rank]}"})

    nets, _ = ranks(2, work)
    assert nets[0].fingerprint() == nets[1].fingerprint()
    close(nets[0].to("numpy"), alone)
    exact = trained(None, *layers, options=EXACT)
    nets, _ = ranks(2, lambda comm: trained(comm, *layers, options=EXACT | {"backend": f"cupy:{comm.rank}"}))
    assert {net.fingerprint() for net in nets} == {exact.fingerprint()}
    results, _ = ranks(2, lambda comm: work(comm, ("1", "1")))
    assert all("a GPU of its own for each rank; ranks 0 and 1 have cupy:1" in str(error) for error in results)


def test_nccl_needs_a_library_that_has_it():
    def work(comm):
        comm.on_device = True
        return trained(comm)

    results, board = ranks(2, work)
    assert all('sums through the host; expected distributed="mpi"' in str(error) for error in results)
    assert not board.aborted


@register
@dataclass(frozen=True)
class Centred(Layer):
    """A layer of one's own that subtracts the batch's mean."""

    def shapes(self, features):
        return Shapes(features)

    def forward(self, xp, weights, x, context):
        sums = context.all_reduce or (lambda array: array)
        share = 1.0 / (context.rows or x.shape[0])
        y = x - sums(xp.sum(x, axis=0, keepdims=True)) * share
        return y, lambda dy: (dy - sums(xp.sum(dy, axis=0, keepdims=True)) * share, {})


def test_layers_of_ones_own_that_sum_over_the_batch():
    alone = trained(None, Centred(), 8)
    nets, _ = ranks(3, lambda comm: trained(comm, Centred(), 8))
    close(nets[0], alone)


def identity(dy):
    return dy, {}


def over_rows(xp, x, context):
    return x - xp.sum(x, axis=0, keepdims=True), identity


def over_rows_backward(xp, x, context):
    return x * 2.0, lambda dy: (dy + xp.sum(dy, axis=0, keepdims=True), {})


def whole_sum(xp, x, context):
    return x * (context.all_reduce or (lambda a: a))(x), identity


def squared_sum(xp, x, context):
    total = xp.sum(x, axis=0, keepdims=True)
    return x + (context.all_reduce or (lambda a: a))(total * total), identity


def largest(xp, x, context):
    return x - xp.max(x, axis=0, keepdims=True), identity


def mean_of_part(xp, x, context):
    share = (context.all_reduce or (lambda a: a))(xp.sum(x, axis=0, keepdims=True)) * (1.0 / x.shape[0])
    return x - share, identity


def divided_by_rows(xp, x, context):
    return x - (context.all_reduce or (lambda a: a))(xp.sum(x, axis=0, keepdims=True)) / x.shape[0], identity


def cumulative(xp, x, context):
    return x + 0.0 * xp.cumulative_sum(x, axis=1), identity


@register
@dataclass(frozen=True)
class Own(Layer):
    """A layer of one's own: one of the functions above."""

    name: str

    def shapes(self, features):
        return Shapes(features)

    def forward(self, xp, weights, x, context):
        return globals()[self.name](xp, x, context)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("over_rows", r"context.all_reduce\(...\) around a sum .*; got subtract of"),
        ("over_rows_backward", r"context.all_reduce\(...\) around a sum .*; got add of"),
        ("whole_sum", r"context.all_reduce\(...\) of a sum over the rows"),
        ("squared_sum", r"context.all_reduce\(...\) around a sum .*; got multiply of"),
        ("mean_of_part", "expected context.rows, the rows of the batch"),
        ("divided_by_rows", "expected context.rows, the rows of the batch"),
        ("largest", "xp.max over the rows of a batch has no meaning yet for its parts"),
    ],
)
def test_layers_that_take_a_part_for_the_batch_are_refused(name, message):
    results, board = ranks(2, lambda comm: trained(comm, 8, Own(name)))
    for error in results:
        assert isinstance(error, DistributedError)
        assert re.search(message, str(error))
    assert not board.aborted


@register
@dataclass(frozen=True)
class Decayed(Dense):
    """A layer of one's own whose gradient has a term of no row."""

    def forward(self, xp, weights, x, context):
        y, back = super().forward(xp, weights, x, context)

        def backward(dy):
            dx, gradients = back(dy)
            return dx, gradients | {"W": gradients["W"] + 0.1 * weights["W"]}

        return y, backward


def test_a_term_of_no_row_would_count_for_each_rank():
    results, _ = ranks(2, lambda comm: trained(comm, Decayed(8), 8))
    assert all("; got add of a sum over the rows of one part" in str(error) for error in results)
    exact = {"options": EXACT, "epochs": 1}
    nets, _ = ranks(2, lambda comm: trained(comm, Decayed(8), 8, **exact))
    assert {net.fingerprint() for net in nets} == {trained(None, Decayed(8), 8, **exact).fingerprint()}


def test_layers_of_which_nothing_is_known_are_named(caplog):
    nets, _ = ranks(2, lambda comm: trained(comm, 8, Own("cumulative")))
    close(nets[0], trained(None, 8, Own("cumulative")))
    assert "xp.cumulative_sum has no meaning yet for the parts of a batch: whether the layers are" in caplog.text


@pytest.mark.exhaustive
@pytest.mark.parametrize("name", [name for name, *_ in registered.covering()])
def test_all_that_is_registered_keeps_to_its_rows(name):
    """In fast arithmetic no built-in layer or loss is refused, and three ranks train what one process trains."""

    def trained(comm):
        net, x, y = next((net, x, y) for found, net, x, y in registered.covering() if found == name)
        net.fit(x, y, epochs=1, batch_size=6, distributed=comm)
        return net

    nets, _ = ranks(3, trained)
    assert len({net.fingerprint() for net in nets}) == 1
    assert nets[0].history.loss == pytest.approx(trained(None).history.loss, rel=1e-3)


def test_batches_of_the_user_and_memory_maps(tmp_path, caplog):
    caplog.set_level("INFO", "portnn")
    cut = [(X[i : i + 15], Y[i : i + 15]) for i in range(0, 70, 15)]
    nets, _ = ranks(3, lambda comm: trained(comm, x=cut, y=None))
    close(nets[0], trained(None, x=cut, y=None))
    np.save(tmp_path / "x.npy", X)
    nets, _ = ranks(3, lambda comm: trained(comm, x=np.load(tmp_path / "x.npy", mmap_mode="r")))
    close(nets[0], trained(None))
    trained_on = [record.message for record in caplog.records if "3 ranks" in record.message]
    assert trained_on == [
        "distributed: 3 ranks; each takes its part of every batch",
        "distributed: 3 ranks; each has 70 rows (0.0 MB in memory and x in a file), and takes at most 6 of the 16 of a "
        "batch, 5 batches an epoch",
    ]


def test_all_begin_with_the_state_of_rank_0():
    def begun(net, rank):
        net.fit(X[rank:], Y[rank:], epochs=1 + rank, batch_size=16)
        net._runtime.counters = net._runtime.counters._replace(epoch=1)
        return net

    def work(comm):
        net = begun(network(), comm.rank)
        net.fit(X, Y, epochs=2, batch_size=16, distributed=comm)
        return net

    alone = begun(network(), 0)
    alone.fit(X, Y, epochs=2, batch_size=16)
    nets, _ = ranks(2, work)
    assert nets[0].fingerprint() == nets[1].fingerprint()
    assert nets[0].step_count == nets[1].step_count == alone.step_count
    close(nets[0], alone)


def test_callbacks_decide_together_and_rank_0_alone_writes(tmp_path):
    def work(comm):
        stop = EarlyStopping("loss", patience=1, min_delta=10.0)
        names = [tmp_path / f"rank{comm.rank}.{kind}" for kind in ("safetensors", "csv")]
        return trained(comm, epochs=9, checkpoint=names[0], callbacks=[stop, CSVLogger(names[1])])

    nets, _ = ranks(2, work)
    assert [len(net.history.loss) for net in nets] == [2, 2]
    assert len((tmp_path / "rank0.csv").read_text().splitlines()) == 3
    assert sorted(path.name for path in tmp_path.iterdir()) == ["rank0.csv", "rank0.safetensors"]

    def one_ends(comm):
        return trained(comm, epochs=9, callbacks=[lambda net, event: comm.rank == 1 and event.epoch == 2])

    nets, _ = ranks(2, one_ends)
    assert [len(net.history.loss) for net in nets] == [2, 2]


def test_a_checkpoint_resumes_on_another_number_of_ranks(tmp_path):
    path = tmp_path / "run.safetensors"

    def interrupted(net, event):
        if event.epoch == 2:
            raise RuntimeError("lost")

    with pytest.raises(RuntimeError, match="lost"):
        network().fit(X, Y, epochs=4, batch_size=16, checkpoint=path, callbacks=[interrupted])
    whole = network()
    whole.fit(X, Y, epochs=4, batch_size=16, callbacks=[lambda net, event: None])

    def resumed(comm):
        net = network()
        net.fit(X, Y, epochs=4, batch_size=16, checkpoint=path, callbacks=[interrupted_no_more], distributed=comm)
        return net

    def interrupted_no_more(net, event):
        return None

    interrupted_no_more.__qualname__ = interrupted.__qualname__
    interrupted_no_more.__name__ = interrupted.__name__
    nets, _ = ranks(3, resumed)
    assert nets[0].fingerprint() == nets[2].fingerprint()
    for key, value in whole.parameters.items():
        np.testing.assert_allclose(nets[0].parameters[key], value, rtol=1e-9, atol=1e-11)


REFUSED = {
    "rank 1 has other data": lambda rank: {"x": X + rank},
    "rank 1 has seed 4, rank 0 3": lambda rank: {"options": {"seed": 3 + rank}},
    "rank 1 has epochs 4, rank 0 3": lambda rank: {"epochs": 3 + rank},
    "rank 1 has batch_size 17, rank 0 16": lambda rank: {"batch_size": 16 + rank},
    "rank 1 has optimizer": lambda rank: {"options": {"learning_rate": 0.1 + rank}},
}


@pytest.mark.parametrize("message", REFUSED)
def test_ranks_that_differ_are_refused_on_all(message):
    results, board = ranks(2, lambda comm: trained(comm, **REFUSED[message](comm.rank)))
    for error in results:
        assert isinstance(error, ArgumentError)
        assert f"distributed: expected the same on all ranks; {message}" in str(error)
    assert not board.aborted


def test_a_rank_that_cannot_begin_says_so_to_all():
    bad = X.copy()
    bad[4, 2] = np.nan
    (first, second), board = ranks(2, lambda comm: trained(comm, x=bad if comm.rank else X))
    assert isinstance(second, DataError)
    assert isinstance(first, DistributedError)
    assert "rank 1 could not begin: DataError: x: " in str(first)
    assert not board.aborted


def test_an_error_of_one_rank_ends_all(capsys):
    def broken(net, event):
        raise ValueError("of one rank")

    (first, second), board = ranks(2, lambda comm: trained(comm, callbacks=[broken] if comm.rank else [print]))
    assert isinstance(second, ValueError)
    assert isinstance(first, threading.BrokenBarrierError)
    assert board.aborted[0] == 1
    assert "rank 1 ends the training of all ranks" in capsys.readouterr().err


def test_an_interrupt_of_one_rank_ends_all_after_the_same_step(monkeypatch, tmp_path):
    waiting = threading.local()

    @contextmanager
    def deferred():
        waiting.interrupt = Deferred()
        yield waiting.interrupt

    monkeypatch.setattr(loop, "defer_keyboard_interrupt", deferred)

    def work(comm):
        def interrupted(net, event):
            waiting.interrupt.pending = comm.rank == 1 and event.epoch == 2

        net, path = network(), tmp_path / f"{comm.rank}.safetensors"
        with pytest.raises(KeyboardInterrupt):
            net.fit(X, Y, epochs=9, batch_size=16, distributed=comm, checkpoint=path, callbacks=[interrupted])
        return net

    nets, board = ranks(2, work)
    assert [net.step_count for net in nets] == [11, 11]
    assert not board.aborted
    assert NeuralNetwork.load(tmp_path / "0.safetensors").step_count == 11


def test_weights_that_part_are_found():
    def work(comm):
        def part(net, event):
            if comm.rank == 1 and event.epoch == 1:
                net.set_parameters({"b2": np.zeros(3)})

        return trained(comm, callbacks=[part])

    results, _ = ranks(2, work)
    assert "the same weights on all ranks after epoch 2; ranks [1] have others" in str(results[0])


def test_what_distributed_may_be(monkeypatch):
    assert communicator_of(None) is None
    with pytest.raises(ArgumentError, match=r"distributed: expected None, \"mpi\", .*; got 'gloo'"):
        network().fit(X, Y, distributed="gloo")
    pytest.importorskip("mpi4py")
    monkeypatch.setenv("WORLD_SIZE", "4")
    with pytest.raises(ArgumentError, match="expected 4 processes, as WORLD_SIZE says; got 1: the launcher does not"):
        network().fit(X, Y, distributed="mpi")


# ---- with mpiexec

SCRIPT = """
import os, signal, sys, time
import numpy as np
from portnn import NeuralNetwork, Standardize

def befalls(net, event):
    if event.epoch == 2 and int(os.environ.get("PMI_RANK", 0)) == 1:
        if "DIES" in os.environ:
            os.kill(os.getpid(), signal.SIGKILL)
        if "HANGS" in os.environ:
            time.sleep(1000)

rng = np.random.default_rng(0)
x = rng.standard_normal((401, 6))
y = (x[:, 0] > 0).astype(int)
net = NeuralNetwork(6, Standardize(), 16, 2, output="softmax", loss="cross_entropy", arithmetic="reproducible", seed=0)
net.fit(x, y, epochs=4, distributed="mpi", checkpoint=sys.argv[1] if sys.argv[1:] else None, callbacks=[befalls])
sys.stdout.write(net.fingerprint() + "\\n")
"""


@pytest.fixture
def mpiexec(tmp_path):
    """Return a function that starts ranks; skip where mpi4py or the launcher of its library is missing."""
    pytest.importorskip("mpi4py")
    beside = Path(sys.executable).parent / "mpiexec"
    launcher = str(beside) if beside.exists() else shutil.which("mpiexec")
    if launcher is None:
        pytest.skip("mpiexec: not found")
    try:
        # Not "true": the launcher breaks (SIGPIPE) where the processes end before it is ready.
        command = [launcher, "-n", "2", "sleep", "0.3"]
        probe = subprocess.run(command, capture_output=True, text=True, check=False, timeout=20)
    except subprocess.TimeoutExpired:
        pytest.skip("mpiexec: starts no processes here within 20 s")
    if probe.returncode:
        pytest.skip(f"mpiexec: starts no processes here ({probe.stderr.strip()[:200]})")
    path = os.pathsep.join([str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])])  # these sources, in any folder
    environment, started = os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": path}, []

    def start(count, *command, **variables):
        """Start ``command`` of Python as so many ranks; None: without a launcher."""
        ranks = [launcher, "-n", str(count)] if count else []
        pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
        command = [*ranks, sys.executable, *map(str, command)]
        started.append(subprocess.Popen(command, **pipes, text=True, env=environment | variables))
        return started[-1]

    yield start
    for process in started:  # of a test that failed
        process.terminate()
        process.communicate()


@pytest.mark.exhaustive
def test_processes_of_mpi_end_with_the_bits_of_one_whatever_befalls_them(mpiexec, tmp_path):
    """Two ranks, one of which is killed in the second epoch; three go on; one process does it all."""
    path, script = tmp_path / "run.safetensors", tmp_path / "script.py"
    script.write_text(SCRIPT)
    broken, alone = mpiexec(2, script, path, DIES="1"), mpiexec(None, script)
    out, _ = broken.communicate(timeout=10 + 20)
    assert broken.returncode != 0
    assert NeuralNetwork.load(path).epoch_count in (1, 2)  # rank 0 may have been first
    (expected, _), three = alone.communicate(timeout=60), mpiexec(3, script, path)
    assert expected not in out
    out, err = three.communicate(timeout=60)
    assert three.returncode == 0, err
    assert out.splitlines() == expected.splitlines() * 3


@pytest.mark.exhaustive
def test_a_rank_that_does_not_answer_is_named(mpiexec, tmp_path):
    script = tmp_path / "script.py"
    script.write_text(SCRIPT)
    hanging = mpiexec(3, script, HANGS="1", PORTNN_DISTRIBUTED_TIMEOUT="0.5")
    out, err = hanging.communicate(timeout=40)
    assert hanging.returncode != 0
    assert "distributed: rank 1 has not answered for 0.5 s" in out + err
    wrong = mpiexec(2, script, PORTNN_DISTRIBUTED_TIMEOUT="soon")
    out, err = wrong.communicate(timeout=40)
    assert wrong.returncode != 0
    assert "PORTNN_DISTRIBUTED_TIMEOUT: expected a number of seconds above 0; got 'soon'" in out + err


TRAIN = "-m", "portnn", "train", "rows.csv", "--target", "kind", "--distributed", "mpi", "--no-progress"


@pytest.mark.exhaustive
def test_the_command_line_in_processes_of_mpi(mpiexec, tmp_path, monkeypatch):
    """Rank 0 alone prints and writes; Ctrl-C on the launcher ends all after one step, and leaves the checkpoint."""
    monkeypatch.chdir(tmp_path)
    rows = np.c_[X, np.arange(70) % 3]
    np.savetxt("rows.csv", rows, delimiter=",", header="a,b,c,d,e,kind", comments="")
    two = mpiexec(2, *TRAIN, "--epochs", 2, "--json", "--save", "model.safetensors")
    endless = mpiexec(2, *TRAIN, "--epochs", 10**8, "--validation", 0, "--checkpoint", "run.safetensors")
    out, err = two.communicate(timeout=60)
    assert two.returncode == 0, err
    assert json.loads(out)["fingerprint"] == NeuralNetwork.load("model.safetensors").fingerprint()
    assert err.count("wrote model.safetensors") == 1
    while not Path("run.safetensors").exists() and endless.poll() is None:
        time.sleep(0.05)
    endless.send_signal(signal.SIGINT)
    out, err = endless.communicate(timeout=30)
    assert err.count("interrupted after") == 1
    assert f"({NeuralNetwork.load('run.safetensors').step_count} steps)" in err
    missing = mpiexec(2, *TRAIN, "--checkpoint", "run.safetensors")
    out, err = missing.communicate(timeout=30)
    assert missing.returncode != 0
    assert out.count("Error: checkpoint: run.safetensors exists") + err.count("run.safetensors exists") == 1
