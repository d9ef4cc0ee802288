"""Training in several processes beside one: python benchmarks/ranks.py [--mnist FOLDER] [--mapped GB] [--rounds N]

The first table trains the digits of examples/data, and MNIST's four files in FOLDER, by portnn train in 1, 2 and 4
processes of mpiexec (more of them than cores take longer), in fast and in reproducible arithmetic: accuracy, loss and
fingerprint. The second one times steps of 1024-2048-2048-2048-10 on NumPy, in rounds of one process with two threads,
and two processes with one thread each: throughput, the reduction's part of a step, and, for weak scaling, one process
with one thread and half the batch. With --mapped, four processes, each of which may allocate LIMIT bytes, train an
epoch of a sparse file of so many GB. Exits with 1 if reproducible fingerprints differ, or below 0.9 of the throughput
at the largest batch. The extra `mpi` is needed.
"""

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np

ROOT = Path(__file__).parents[1]
LIMIT = 400 << 20
WIDTHS, BATCHES, STEPS = (1024, 2048, 2048, 2048, 10), (512, 2048), 10


def launched(count: int, threads: int, *command: object) -> str:
    """Return what so many processes of Python print, with so many threads each."""
    beside = Path(sys.executable).parent / "mpiexec"
    launcher = str(beside) if beside.exists() else shutil.which("mpiexec")
    ranks = [launcher, "-n", str(count)] if count > 1 else []
    environment = os.environ | {"OPENBLAS_NUM_THREADS": str(threads), "OMP_NUM_THREADS": str(threads)}
    line = [*ranks, sys.executable, *map(str, command)]
    return subprocess.run(line, env=environment, check=True, capture_output=True, text=True).stdout


def trained(name: str, command: list[str], counts: tuple[int, ...]) -> bool:
    """Print a row for each arithmetic and number of processes; return whether the reproducible ones are equal."""
    prints = set()
    for arithmetic in ([], ["--reproducible"]):
        for count in counts:
            words = ["-m", "portnn", "train", *command, *arithmetic, "--distributed", "mpi", "--json", "--no-progress"]
            found = json.loads(launched(count, 1, *words))
            kind = arithmetic[0][2:] if arithmetic else "fast"
            prints |= {found["fingerprint"]} if arithmetic else set()
            figures = f"{found['accuracy']:.4f} | {found['loss']:.9f} | {found['seconds']:.1f} s"
            print(f"| {name} | {kind} | {count} | {figures} | `{found['fingerprint'][:12]}` |", flush=True)
    return len(prints) == 1


class Timed:
    """A communicator that adds up the time in its reductions."""

    def __init__(self, inner: Any) -> None:
        self._inner, self.seconds = inner, 0.0

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)

    def all_reduce(self, *arguments: Any, **options: Any) -> Any:
        self._inner.all_gather(None)  # so that no one waits for the slower rank inside
        started = time.perf_counter()
        total = self._inner.all_reduce(*arguments, **options)
        self.seconds += time.perf_counter() - started
        return total


def work(batch: int) -> None:
    """Time steps in this process, or in those of the launcher; the first one prints the seconds."""
    from portnn import NeuralNetwork
    from portnn.callbacks import Callback
    from portnn.distributed import communicator_of

    rng = np.random.default_rng(0)
    x = rng.standard_normal((STEPS * batch, WIDTHS[0])).astype(np.float32)
    y = rng.integers(0, WIDTHS[-1], len(x))
    net = NeuralNetwork(*WIDTHS, output="softmax", loss="cross_entropy", seed=0, backend="numpy")
    found = communicator_of("mpi")
    comm = None if found is None else Timed(found)
    times: list[float] = []
    net.fit(x[:batch], y[:batch], batch_size=batch, distributed=comm)
    reduced = 0.0 if comm is None else comm.seconds

    class Steps(Callback):
        def on_train_batch_end(self, network: NeuralNetwork, event: object) -> None:
            times.append(time.perf_counter())

    net.fit(x, y, batch_size=batch, distributed=comm, callbacks=[Steps()])
    if comm is None or comm.rank == 0:
        reduction = 0.0 if comm is None else (comm.seconds - reduced) / STEPS
        print(json.dumps({"step": median(np.diff(times)), "reduction": reduction}))


def mapped(path: str) -> None:
    """Train an epoch of a file in this process, which may allocate LIMIT bytes."""
    import resource

    from portnn import NeuralNetwork
    from portnn.mpi import MPICommunicator

    comm = MPICommunicator()
    resource.setrlimit(resource.RLIMIT_DATA, (LIMIT, LIMIT))
    x = np.load(path, mmap_mode="r")
    net = NeuralNetwork(x.shape[1], 32, 10, output="softmax", loss="cross_entropy", seed=0, backend="numpy")
    started = time.perf_counter()
    net.fit(x, np.arange(len(x)) % 10, batch_size=1024, distributed=comm)
    if comm.rank == 0:
        seconds = time.perf_counter() - started
        print(f"\n{comm.size} processes, each limited to {LIMIT / 1e9:.2f} GB, trained", end=" ")
        print(f"{x.nbytes / 1e9:.2f} GB in {seconds:.0f} s")


def timed(rounds: int) -> float:
    """Print the times of each batch; return the throughput of two processes at the largest, as a share of one's."""
    heads = (
        "batch",
        "1 process, 2 threads",
        "2 processes, 1 thread",
        "throughput",
        "all-reduce",
        "1 thread, half",
        "weak",
    )
    print(f"\n| {' | '.join(heads)} |\n{'|---' * len(heads)}|")
    shares = []
    for batch in BATCHES:
        found = []
        for number in range(rounds):
            kinds = [(1, 2, batch), (2, 1, batch), (1, 1, batch // 2)]
            results = {}
            for kind in kinds if number % 2 else reversed(kinds):
                results[kind] = json.loads(launched(kind[0], kind[1], __file__, "--work", kind[2]))
            found.append([results[kind] for kind in kinds])
        one, two, half = ([round_[i]["step"] for round_ in found] for i in range(3))
        shares.append(median(a / b for a, b in zip(one, two, strict=True)))
        weak = median(a / b for a, b in zip(half, two, strict=True))
        reduction = median(round_[1]["reduction"] for round_ in found)
        figures = (
            f"{median(one):.3f} s | {median(two):.3f} s | {shares[-1]:.2f} | {reduction:.3f} s | {median(half):.3f} s"
        )
        print(f"| {batch} | {figures} | {weak:.2f} |", flush=True)
    return shares[-1]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--mnist", type=Path)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--mapped", type=float, metavar="GB")
    parser.add_argument("--work", help="rows of a batch, or a file; what this script starts")
    parser.add_argument("--skip", choices=["training", "times"], default="")
    asked = parser.parse_args()
    if asked.work:
        work(int(asked.work)) if asked.work.isdigit() else mapped(asked.work)
        return 0
    equal, share = True, 1.0
    if asked.skip != "training":
        print("| data | arithmetic | processes | accuracy | loss | time | fingerprint |\n|---|---|---|---|---|---|---|")
        digits = [str(ROOT / "examples/data/digits.csv"), "--target", "label", "--hidden", "128", "--epochs", "30"]
        equal = trained("digits", digits, (1, 2, 4))
        if asked.mnist:
            x, y, tx, ty = (
                str(next(asked.mnist.glob(f"{name}*")))
                for name in ("train-images", "train-labels", "t10k-images", "t10k-labels")
            )
            mnist = [x, "--target", y, "--test", tx, "--test-target", ty, "--hidden", "64", "--epochs", "2"]
            equal &= trained("MNIST", [*mnist, "--batch-size", "256", "--validation", "0"], (1, 2, 4))
    if asked.skip != "times":
        share = timed(asked.rounds)
    if asked.mapped:
        with tempfile.TemporaryDirectory() as folder:
            path, rows = Path(folder, "x.npy"), int(asked.mapped * 1e9 / (784 * 4))
            np.lib.format.open_memmap(path, "w+", np.float32, (rows, 784))  # sparse: zeros that take no room
            print(launched(4, 1, __file__, "--work", path))
    return 0 if equal and share >= 0.9 else 1


if __name__ == "__main__":
    sys.exit(main())
