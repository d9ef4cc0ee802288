"""Data-parallel training: the ranks take one process's batches and end with its weights."""

import os
import pickle
import shutil
import signal
import subprocess
import sys
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pytest
import registered

from portnn import (
    SGD,
    Adam,
    ArgumentError,
    BatchNorm,
    DataError,
    DistributedError,
    Dropout,
    GaussianNoise,
    Layer,
    NeuralNetwork,
    Shapes,
    Standardize,
    register,
)
from portnn.callbacks import CSVLogger, EarlyStopping
from portnn.distributed import communicator_of

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

    def all_reduce(self, array, op="sum"):
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


@pytest.mark.parametrize("size", [2, 3, 4])
@pytest.mark.parametrize("case", CASES)
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


@pytest.mark.parametrize("size", [2, 3, 4])
@pytest.mark.parametrize("case", CASES)
def test_in_reproducible_arithmetic_ranks_have_the_bits_of_one_process(case, size):
    """Uneven parts, and parts of no row among them."""
    fit = dict(CASES[case])
    layers, options = fit.pop("layers", ()), EXACT | fit.pop("options", {})
    alone = trained(None, *layers, options=options, **fit)
    nets, _ = ranks(size, lambda comm: trained(comm, *layers, options=options, **fit))
    assert {net.fingerprint() for net in nets} == {alone.fingerprint()}
    assert all(net.history.loss == alone.history.loss for net in nets)


@pytest.mark.parametrize("name", [name for name, *_ in registered.covering()])
def test_all_that_is_registered_has_the_bits_of_one_process(name):
    def trained(comm):
        net, x, y = next((net, x, y) for found, net, x, y in registered.covering(**EXACT) if found == name)
        net.fit(x, y, epochs=2, batch_size=6, distributed=comm)
        return net.fingerprint()

    assert set(ranks(3, trained)[0]) == {trained(None)}


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


def test_batches_of_the_user_and_memory_maps(tmp_path):
    cut = [(X[i : i + 15], Y[i : i + 15]) for i in range(0, 70, 15)]
    nets, _ = ranks(3, lambda comm: trained(comm, x=cut, y=None))
    close(nets[0], trained(None, x=cut, y=None))
    np.save(tmp_path / "x.npy", X)
    nets, _ = ranks(3, lambda comm: trained(comm, x=np.load(tmp_path / "x.npy", mmap_mode="r")))
    close(nets[0], trained(None))


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
    with pytest.raises(ArgumentError, match=r"distributed: expected None, \"mpi\", .*; got 'nccl'"):
        network().fit(X, Y, distributed="nccl")


# ---- with mpiexec

SCRIPT = """
import sys
import numpy as np
from portnn import NeuralNetwork, Standardize
rng = np.random.default_rng(0)
x = rng.standard_normal((400, 6))
y = (x[:, 0] > 0).astype(int)
net = NeuralNetwork(6, Standardize(), 16, 2, output="softmax", loss="cross_entropy", dtype="float64", seed=0)
checkpoint = sys.argv[2] if len(sys.argv) > 2 else None
history = net.fit(x, y, epochs=int(sys.argv[1]), distributed="mpi", checkpoint=checkpoint)
sys.stdout.write(" ".join(map(str, [net.fingerprint(), *np.round(history.loss, 9)])) + "\\n")
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
        probe = subprocess.run([launcher, "-n", "2", "true"], capture_output=True, text=True, check=False, timeout=20)
    except subprocess.TimeoutExpired:
        pytest.skip("mpiexec: starts no processes here within 20 s")
    if probe.returncode:
        pytest.skip(f"mpiexec: starts no processes here ({probe.stderr.strip()[:200]})")
    script = tmp_path / "script.py"
    script.write_text(SCRIPT)
    environment = os.environ | {"OMP_NUM_THREADS": "1"}

    def start(count, *arguments):
        command = [*([launcher, "-n", str(count)] if count else []), sys.executable, str(script), *map(str, arguments)]
        return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment)

    return start


@pytest.mark.exhaustive
def test_two_processes_of_mpi(mpiexec):
    two, alone = mpiexec(2, 3), mpiexec(0, 3)
    (out, err), (expected, _) = two.communicate(timeout=60), alone.communicate(timeout=60)
    assert two.returncode == 0, err
    first, second = out.splitlines()
    assert first == second
    np.testing.assert_allclose(
        [float(v) for v in first.split()[1:]], [float(v) for v in expected.split()[1:]], rtol=0, atol=2e-9
    )


@pytest.mark.exhaustive
def test_a_killed_process_ends_all_and_leaves_the_checkpoint(mpiexec, tmp_path):
    path = tmp_path / "run.safetensors"
    process = mpiexec(2, 100_000, path)
    while not path.exists() and process.poll() is None:
        time.sleep(0.05)
    listed = subprocess.run(["pgrep", "-f", str(tmp_path / "script.py")], capture_output=True, text=True, check=False)
    children = [int(number) for number in listed.stdout.split() if int(number) != process.pid]
    commands = {number: Path(f"/proc/{number}/cmdline").read_text().split("\0")[0] for number in children}
    victims = [number for number, command in commands.items() if "python" in command]
    os.kill(victims[-1], signal.SIGKILL)
    process.communicate(timeout=10)
    assert process.returncode != 0
    assert NeuralNetwork.load(path).step_count > 0
