"""What reproducible arithmetic costs, and how exact it is: python benchmarks/reproducible.py

Training steps of 784-512-512-10 at batch 256 with adam in float32, in float64 and reproducibly, on each CPU backend
that is installed, in alternating rounds; where the time of a reproducible step goes; products alone; the error of
products beside float32's; the accuracy on digits, and with --mnist FOLDER on MNIST, beside its spread over seeds.
Prints Markdown; --output FILE writes JSON.
"""

import argparse
import json
import statistics
import time
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from multiprocessing import get_context
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np

from portnn import NeuralNetwork, available_backends, get_backend
from portnn.equivalence.report import environment
from portnn.io.readers import read_idx
from portnn.reproducible.arithmetic import ARITHMETICS

ROOT = Path(__file__).resolve().parents[1]
WIDTHS, ROWS = (784, 512, 512, 10), 256
KINDS: dict[str, dict[str, Any]] = {
    "float32": {},
    "float64": {"dtype": "float64"},
    "reproducible": {"arithmetic": "reproducible"},
}
ROUNDS, STEPS, SEEDS = 9, 8, 5


def stepper(backend: str, options: dict[str, Any]) -> tuple[Callable[[int], float], Any]:
    """Return a function that takes n training steps and returns milliseconds a step, and the runtime."""
    rng = np.random.default_rng(0)
    x, y = rng.standard_normal((ROWS, WIDTHS[0])), rng.integers(0, WIDTHS[-1], ROWS)
    net = NeuralNetwork(*WIDTHS, output="softmax", loss="cross_entropy", backend=backend, seed=0, **options)
    runtime, data = net.prepared(x, y)
    batch = data.x, data.y, 1.0 / ROWS

    def take(count: int) -> float:
        with runtime.backend.scope():
            started = time.perf_counter()
            for _ in range(count):
                loss = runtime.step(batch)
            runtime.backend.read([loss])
            return (time.perf_counter() - started) / count * 1e3

    take(3)  # compiles, and warms up
    return take, runtime


def steps(backend: str) -> dict[str, float]:
    """Return milliseconds of a step on a backend by kind: medians of alternating rounds."""
    takers = {kind: stepper(backend, options)[0] for kind, options in KINDS.items()}
    times: dict[str, list[float]] = {kind: [] for kind in KINDS}
    for _ in range(ROUNDS):
        for kind, take in takers.items():
            times[kind].append(take(STEPS))
    return {kind: statistics.median(values) for kind, values in times.items()}


def alone(function: Callable[..., Any], *arguments: Any) -> Any:
    """Return what a function returns in a process of its own: two libraries' threads in one slow each other."""
    with ProcessPoolExecutor(1, get_context("spawn")) as pool:
        return pool.submit(function, *arguments).result()


PARTS = {
    ".dot(": "24 products in float64",
    "reduce(": "scales and sums",
    "for b in": "adam",
    "": "cutting operands into pieces, adding up products, activations",
}
"""What a line of the recorded step belongs to, by what is in it."""


def where_it_goes(count: int = 50) -> dict[str, float]:
    """Return milliseconds of a recorded reproducible step on NumPy by part, with a look at the clock at each line."""
    take, runtime = stepper("numpy", KINDS["reproducible"])
    seconds: Counter[str] = Counter()
    last = time.perf_counter()

    def mark(part: str) -> None:
        nonlocal last
        now = time.perf_counter()
        seconds[part] += now - last
        last = now

    (compiled, *_) = runtime._steps[0].args
    for program in compiled._programs.values():
        start, end = program.source.index("def run("), program.source.index("    return (after")
        lines = program.source[start:end].splitlines()
        watched = [lines[0], "    mark('')"]
        for line in lines[1:]:
            part = next(part for sign, part in PARTS.items() if sign in line)
            watched += [line, f"    mark({part!r})"]
        source = program.source[:start] + "\n".join(watched) + "\n" + program.source[end:]
        program._compiled = compile(source, "<watched>", "exec")
    compiled._bound.clear()
    with patch.dict(compiled._dialect.names, mark=mark):
        take(count)
    del seconds[""]
    return {part: spent / count * 1e3 for part, spent in seconds.most_common()}


def products() -> dict[str, float]:
    """Return how many times sgemm's time a reproducible product takes on NumPy, by shape."""
    found = {}
    for m, k, n in ((128, 784, 256), (256, 784, 512), (512, 2048, 1024)):
        rng = np.random.default_rng(0)
        a, b = rng.standard_normal((m, k)), rng.standard_normal((k, n))
        narrow = a.astype(np.float32), b.astype(np.float32)
        plain, ours = partial(np.matmul, *narrow), partial(reproducible_product, a, b)
        ratios = [timed(ours) / timed(plain) for _ in range(ROUNDS)]
        found[f"{m} x {k} x {n}"] = statistics.median(ratios)
    return found


def reproducible_product(a: np.ndarray, b: np.ndarray) -> Any:
    """Return the product of two matrices on NumPy, nothing remembered."""
    return ARITHMETICS["reproducible"](NUMPY).xp.matmul(a, b)


def timed(function: Callable[[], Any]) -> float:
    """Return the seconds of ten calls."""
    started = time.perf_counter()
    for _ in range(10):
        function()
    return time.perf_counter() - started


def errors() -> dict[str, dict[str, float]]:
    """Return root mean square errors in units of |A||B| 2^-24: a forward product and a gradient's, by distribution."""
    rng = np.random.default_rng(0)
    shape, found = (256, 784), {}
    outlier = rng.standard_normal(shape)
    outlier[::7, 5] = 1e6
    operands = {
        "normal": rng.standard_normal(shape),
        "lognormal, sigma 2": np.exp(2 * rng.standard_normal(shape)) * rng.choice([-1, 1], shape),
        "outliers of 1e6": outlier,
    }
    for name, x in operands.items():
        w, dy = rng.standard_normal((784, 256)), rng.standard_normal((256, 256))
        if name.startswith("lognormal"):
            w = np.exp(2 * rng.standard_normal(w.shape)) * rng.choice([-1, 1], w.shape)
        x, w, dy = (v.astype(np.float32).astype(np.float64) for v in (x, w, dy))  # given to both alike
        xp = ARITHMETICS["reproducible"](NUMPY).xp
        forward, gradient = xp.matmul(x, w), xp.matmul(xp.matrix_transpose(x), dy)
        rows = {}
        for kind, a, b, ours in (("forward", x, w, forward), ("gradient", x.T, dy, gradient)):
            truth = np.matmul(a.astype(np.longdouble), b.astype(np.longdouble))
            size = np.abs(a) @ np.abs(b) * 2.0**-24
            narrow = a.astype(np.float32) @ b.astype(np.float32)
            rows[f"{kind}, sgemm"] = rms((narrow - truth) / size)
            rows[f"{kind}, reproducible"] = rms((ours - truth) / size)
        found[name] = rows
    return found


def rms(values: Any) -> float:
    """Return the root of the mean square."""
    return float(np.sqrt(np.mean(np.square(values))))


def digits() -> tuple[np.ndarray, ...]:
    """Return digits to train and to test on."""
    rows = np.loadtxt(ROOT / "examples" / "data" / "digits.csv", delimiter=",", skiprows=1)
    x, y = rows[:, :-1] / 16, rows[:, -1].astype(int)
    return x[359:], y[359:], x[:359], y[:359]


def mnist(folder: Path) -> tuple[np.ndarray, ...]:
    """Return MNIST's images and labels, from its four files."""
    parts = []
    for name in ("train", "t10k"):
        images, labels = (read_idx(folder / f"{name}-{kind}-ubyte.gz") for kind in ("images-idx3", "labels-idx1"))
        parts += [images.reshape(len(images), -1) / np.float32(255), labels]
    return tuple(parts)


def accuracies(data: tuple[np.ndarray, ...], widths: tuple[int, ...], epochs: int) -> dict[str, list[float]]:
    """Return the accuracy of each seed, fast in float32 and reproducible."""
    x, y, x_test, y_test = data
    found: dict[str, list[float]] = {}
    for kind in ("float32", "reproducible"):
        for seed in range(SEEDS):
            net = NeuralNetwork(*widths, output="softmax", loss="cross_entropy", seed=seed, **KINDS[kind])
            net.fit(x, y, epochs=epochs, batch_size=128)
            report = net.evaluate(x_test, y_test, metrics=["accuracy"])
            found.setdefault(kind, []).append(report["accuracy"])
    return found


def table(head: list[str], rows: list[list[str]]) -> str:
    """Return a Markdown table."""
    return "\n".join("| " + " | ".join(row) + " |" for row in [head, ["---"] * len(head), *rows])


NUMPY = get_backend("numpy")


def main() -> None:
    """Run everything; print tables; write the record if asked."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--mnist", type=Path, help="folder of MNIST's four files")
    parser.add_argument("--output", type=Path, help="JSON record")
    options = parser.parse_args()
    backends = [i.name for i in available_backends() if i.available and i.name in ("numpy", "torch", "jax")]
    record: dict[str, Any] = {"environment": environment(list(map(get_backend, backends)))}
    record["milliseconds of a step"] = found = {name: alone(steps, name) for name in backends}
    print("Milliseconds of a training step, 784-512-512-10, batch 256, adam:\n")
    rows = [
        [name, *(f"{t[k]:.1f}" for k in KINDS), f"{t['reproducible'] / t['float32']:.1f}"] for name, t in found.items()
    ]
    print(table(["backend", *KINDS, "times float32"], rows))
    record["where it goes"] = parts = alone(where_it_goes)
    print("\nWhere a reproducible step goes on NumPy, milliseconds:\n")
    print(table(["part", "ms"], [[part, f"{ms:.1f}"] for part, ms in parts.items()]))
    record["products, times sgemm"] = ratios = products()
    print("\nProducts alone, times sgemm:\n")
    print(table(["shape", "times"], [[shape, f"{ratio:.1f}"] for shape, ratio in ratios.items()]))
    record["errors"] = wrong = errors()
    print("\nRoot mean square error, in units of |A||B| 2^-24:\n")
    kinds = list(wrong["normal"])
    print(table(["data", *kinds], [[name, *(f"{row[k]:.2g}" for k in kinds)] for name, row in wrong.items()]))
    sets = {"digits, 64-128-10, 20 epochs": (digits(), (64, 128, 10), 20)}
    if options.mnist:
        sets["MNIST, 784-128-10, 3 epochs"] = (mnist(options.mnist), (784, 128, 10), 3)
    record["accuracy"] = {}
    print(f"\nAccuracy over {SEEDS} seeds, mean and standard deviation:\n")
    lines = []
    for name, (data, widths, epochs) in sets.items():
        record["accuracy"][name] = scores = accuracies(data, widths, epochs)
        cells = [f"{statistics.mean(v):.4f} +- {statistics.stdev(v):.4f}" for v in scores.values()]
        lines.append([name, *cells])
    print(table(["data", "float32", "reproducible"], lines))
    if options.output:
        options.output.write_text(json.dumps(record, indent=2) + "\n")
        print(f"\nwrote {options.output}")


if __name__ == "__main__":
    main()
