"""How far training in several processes goes: python benchmarks/scaling.py

Measures the time of a step of this machine's NumPy with one thread a process, at several numbers of rows, and predicts
from it and from a model of the network what 1 to 1,024 processes make of it:

    step(p) = slowest part's computation + reduction(p) + agreement(p)
    reduction(p) = min(2 (p - 1)/p bytes/bandwidth + 2 (p - 1) latency,  log2 p (bytes/bandwidth + latency))

The first of the two is a ring, the second recursive doubling (Thakur, Rabenseifner and Gropp 2005, IJHPCA 19(1));
``agreement`` is the message in which the ranks tell each other their rows, log2 p latencies. Efficiency is the
throughput as a share of p times that of one process: of one global batch (strong), or with as many rows for each
process (weak). The column "overlapped" is what a reduction that runs entirely beside the backward pass could reach at
best. It is a model: it knows no congestion, no slower machine and no disk.
"""

import os

os.environ["OPENBLAS_NUM_THREADS"] = os.environ["OMP_NUM_THREADS"] = "1"

import math
import time
from itertools import pairwise
from statistics import median

import numpy as np

from portnn import NeuralNetwork

NETWORKS = {"784-256-128-10": 4096, "1024-2048-2048-2048-10": 16384}
"""Rows of the global batch for each network, in strong scaling."""
ROWS = 64, 256, 512
WEAK = 256
"""Rows of each process, in weak scaling."""
INTERCONNECTS = {"100 Gbit/s InfiniBand": (2e-6, 12.5e9), "10 Gbit/s Ethernet": (25e-6, 1.25e9)}
"""Latency in seconds, and bandwidth in bytes per second."""
PROCESSES = [2**k for k in range(11)]


def measured(widths: list[int]) -> tuple[float, float]:
    """Return (seconds of a step beside its rows, seconds a row): a line through the medians at ROWS."""
    rng = np.random.default_rng(0)
    net = NeuralNetwork(*widths, output="softmax", loss="cross_entropy", seed=0, backend="numpy")
    times = []
    for rows in ROWS:
        x = rng.standard_normal((rows, widths[0])).astype(np.float32)
        y = rng.integers(0, widths[-1], rows)
        found = []
        for _ in range(7):
            started = time.perf_counter()
            net.step(x, y)
            found.append(time.perf_counter() - started)
        times.append(median(found[2:]))  # the first ones are not compiled
    slope, constant = np.polyfit(ROWS, times, 1)
    return max(float(constant), 0.0), float(slope)


def reduction(processes: int, size: int, latency: float, bandwidth: float) -> float:
    ring = 2 * (processes - 1) * (size / processes / bandwidth + latency)
    return min(ring, math.log2(processes) * (size / bandwidth + latency))


def steps(rows: int, processes: int, size: int, times: tuple[float, float], link: tuple[float, float]) -> list[float]:
    """Return the seconds of a step, and with the reduction beside the backward pass, two thirds of the computation."""
    computation = times[0] + times[1] * -(-rows // processes)
    reduced = reduction(processes, size, *link)
    agreed = math.log2(processes) * link[0]
    return [
        computation + reduced + agreed,
        computation + max(reduced - times[1] * rows / processes * 2 / 3, 0.0) + agreed,
    ]


def main() -> None:
    for name, batch in NETWORKS.items():
        widths = [int(width) for width in name.split("-")]
        size = 4 * sum((a + 1) * b for a, b in pairwise(widths))
        times = measured(widths)
        print(f"\n{name}: a gradient of {size / 1e6:.1f} MB; a step takes {times[0] * 1e3:.2f} ms and ", end="")
        print(f"{times[1] * 1e6:.1f} us a row, by one thread")
        for title, link in INTERCONNECTS.items():
            print(
                f"\n| processes ({title}) | strong, batch {batch} | overlapped | weak, {WEAK} rows each | overlapped |"
            )
            print("|---|---|---|---|---|")
            reached = {"strong": 1, "weak": 1}
            for p in PROCESSES:
                alone = times[0] + times[1] * batch, times[0] + times[1] * WEAK
                strong = [alone[0] / (p * step) for step in steps(batch, p, size, times, link)]
                weak = [alone[1] / step for step in steps(WEAK * p, p, size, times, link)]
                for kind, efficiency in (("strong", strong), ("weak", weak)):
                    reached[kind] = p if efficiency[0] >= 0.5 else reached[kind]
                print(f"| {p} | {' | '.join(f'{value:.2f}' for value in (*strong, *weak))} |")
            limits = f"{reached['strong']} (strong) and {reached['weak']} (weak)"
            print(f"\nHalf of the processes' time is lost beyond {limits}.")


if __name__ == "__main__":
    main()
