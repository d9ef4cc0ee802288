"""Prove portnn on a CUDA machine, in minutes: python benchmarks/gpu.py [--output FILE].

Runs the test suite with CuPy required, trains the same network on NumPy and CuPy (and torch-CUDA, where it is), times
training steps, and writes a JSON record: what ran, on which GPU, with which versions. Exits with 1 if a test fails or
a network ends elsewhere, with 2 where there is no CUDA device.
"""

import argparse
import datetime
import json
import platform
import statistics
import subprocess
import sys
import time
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import numpy as np

from portnn import NeuralNetwork, available_backends, get_backend

ROOT = Path(__file__).resolve().parents[1]
PACKAGES = ("portnn", "numpy", "cupy-cuda13x", "cupy-cuda12x", "torch", "jax", "array-api-compat")
SHAPES = {
    "784-256-10, batch 128": ((784, 256, 10), 128, 200),
    "784-512-512-10, batch 256": ((784, 512, 512, 10), 256, 200),
    "1024-2048-2048-2048-10, batch 512": ((1024, 2048, 2048, 2048, 10), 512, 50),
}


def installed(package: str) -> str | None:
    """Return the package's version, or None."""
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def output_of(*command: str) -> str:
    """Return what a command prints, or what kept it from running."""
    try:
        return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False).stdout.strip()
    except OSError as error:
        return f"not run: {error}"


def environment() -> dict[str, Any]:
    """Return date, commit, machine, GPU and versions."""
    return {
        "date": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        "commit": output_of("git", "rev-parse", "HEAD") or None,
        "gpu": output_of("nvidia-smi", "--query-gpu=name,driver_version,memory.total", "--format=csv,noheader"),
        "python": platform.python_version(),
        "machine": platform.platform(),
        "versions": {package: v for package in PACKAGES if (v := installed(package))},
    }


def suite(required: str) -> dict[str, Any]:
    """Run the tests with the backends required; return the counts and the failures."""
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", f"--portnn-require={required}"]
    result = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    lines = result.stdout.strip().splitlines()
    return {
        "exit_code": result.returncode,
        "summary": lines[-1] if lines else result.stderr[-2000:],
        "failed": [line for line in lines if line.startswith(("FAILED", "ERROR"))],
    }


def agreement(names: list[str]) -> dict[str, Any]:
    """Train the same float64 network for 100 steps on each backend; return how far each ends from NumPy."""
    rng = np.random.default_rng(0)
    x, y = rng.standard_normal((256, 20)), rng.standard_normal((256, 3))
    ends: dict[str, Any] = {}
    for name in ["numpy", *names]:
        net = NeuralNetwork(20, 32, 3, activation="tanh", backend=name, dtype="float64", seed=0)
        start = net.fingerprint()
        net.fit(x, y, epochs=50, batch_size=128)
        ends[name] = {"start": start, "end": net.fingerprint(), "outputs": net.predict(x)}
    reference = ends["numpy"].pop("outputs")
    for name in names:
        ends[name]["largest difference"] = float(np.abs(ends[name].pop("outputs") - reference).max())
        # As tests/test_network.py has it for the deck's loop: no kinks, so differences stay near rounding.
        ends[name]["agrees"] = (
            ends[name]["start"] == ends["numpy"]["start"] and ends[name]["largest difference"] < 1e-10
        )
    return ends


def step_times(names: list[str]) -> dict[str, dict[str, float]]:
    """Return milliseconds of one training step with adam in float32: the median of five timed runs."""
    times: dict[str, dict[str, float]] = {}
    for title, (widths, batch, steps) in SHAPES.items():
        rng = np.random.default_rng(0)
        x = rng.standard_normal((batch, widths[0])).astype(np.float32)
        labels = rng.integers(0, widths[-1], batch).astype(np.int32)
        times[title] = {}
        for name in ["numpy", *names]:
            backend = get_backend(name)
            net = NeuralNetwork(*widths, output="softmax", loss="cross_entropy", backend=name, seed=0)
            data = backend.asarray(x), backend.asarray(labels)
            count = steps if name != "numpy" else max(steps // 10, 5)
            runs = []
            for _ in range(6):  # the first one warms up
                backend.synchronize()
                started = time.perf_counter()
                for _ in range(count):
                    net.step(*data)
                backend.synchronize()
                runs.append((time.perf_counter() - started) / count * 1e3)
            times[title][name] = round(statistics.median(runs[1:]), 4)
    return times


def main() -> int:
    """Run everything; print a short table; write the record."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--output", type=Path, help="default: benchmarks/records/gpu-DATE.json")
    options = parser.parse_args()
    infos = {info.name: info for info in available_backends()}
    if not infos["cupy"].available:
        print(f"no CUDA machine: cupy: {infos['cupy'].reason}")
        return 2
    names = ["cupy", *(["torch:cuda:0"] if "cuda:0" in infos["torch"].devices else [])]
    record = environment()
    record["tests"] = suite(",".join(["numpy", *names]))
    record["agreement"] = agreement(names)
    record["milliseconds per step"] = step_times(names)
    path = options.output or ROOT / "benchmarks" / "records" / f"gpu-{record['date'][:10]}.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(record, indent=2) + "\n")
    print(f"{record['gpu']}\ntests: {record['tests']['summary']}")
    for name in names:
        print(f"{name}: largest difference to numpy {record['agreement'][name]['largest difference']:.1e}")
    for title, times in record["milliseconds per step"].items():
        print(f"{title}: " + ", ".join(f"{name} {ms:.3f} ms" for name, ms in times.items()))
    print(f"wrote {path}")
    passed = record["tests"]["exit_code"] == 0 and all(record["agreement"][name]["agrees"] for name in names)
    return 0 if passed else 1


if __name__ == "__main__":
    sys.exit(main())
