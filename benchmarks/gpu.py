"""Prove portnn on a CUDA machine, in minutes: python benchmarks/gpu.py [--output FILE.json].

Times training steps, epochs and predictions on NumPy and on the GPU's backends (CuPy, and PyTorch and JAX where they
have CUDA), beside PyTorch's and JAX's own steps (gpu_times.py), and CuPy's kernels by name; trains the same network on
each; then runs the test suite with them required, `portnn check`, `portnn check --bits` and the accuracy of their
functions. Writes a JSON record, part by part, and the accuracy as a page beside it; prints the times as a table. Exits
with 1 if a test fails, a bound is broken, a bit differs or a network ends elsewhere, with 2 where there is no CUDA
device.
"""

import argparse
import datetime
import json
import os
import platform
import subprocess
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np

sys.path.insert(0, str(Path(__file__).parent))
import gpu_times

from portnn import NeuralNetwork, available_backends, get_backend

ROOT = Path(__file__).resolve().parents[1]
PACKAGES = ("portnn", "numpy", "cupy-cuda13x", "cupy-cuda12x", "torch", "jax", "jaxlib", "array-api-compat")
ENVIRONMENT = os.environ | {
    # JAX would take three quarters of the GPU's memory in each of the suite's processes.
    "XLA_PYTHON_CLIENT_PREALLOCATE": "false",
    # XLA takes the kernel that was fastest when it compiled: two equal networks may get others, and other bits.
    "XLA_FLAGS": "--xla_gpu_autotune_level=0",
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
        "machine": f"{platform.platform()}, {os.cpu_count()} cores",
        "versions": {package: v for package in PACKAGES if (v := installed(package))},
    }


def backends() -> list[str]:
    """Return the backends that compute on a CUDA GPU here."""
    found = ["cupy"] if any(info.name == "cupy" and info.available for info in available_backends()) else []
    for info in available_backends():
        for device in set(info.devices) & {"cuda:0", "gpu:0"}:
            # By its library's name alone where that means the GPU, so that the suite does not take it twice.
            found.append(info.name if get_backend(info.name).device == device else f"{info.name}:{device}")
    return found


def run(*arguments: str) -> dict[str, Any]:
    """Run Python; return its exit code, seconds and output."""
    began = time.monotonic()
    command = [sys.executable, *arguments]
    result = subprocess.run(command, cwd=ROOT, env=ENVIRONMENT, capture_output=True, text=True, check=False)
    seconds = round(time.monotonic() - began)
    return {"exit_code": result.returncode, "seconds": seconds, "output": result.stdout or result.stderr[-2000:]}


def suite(names: list[str]) -> dict[str, Any]:
    """Run the tests with the backends required; return the counts and the failures."""
    workers = ["-n", str(min(14, os.cpu_count() or 1))] if find_spec("xdist") else []
    options = ["-q", "-p", "no:cacheprovider", *workers]
    result = run("-m", "pytest", *options, f"--portnn-require={','.join(['numpy', *names])}")
    lines = result["output"].strip().splitlines()
    return result | {"output": lines[-1], "failed": [line for line in lines if line.startswith(("FAILED", "ERROR"))]}


def bounds(name: str, dtype: str) -> dict[str, Any]:
    """Judge a backend by its bounds on the built-in networks; return the piece with the largest share."""
    with TemporaryDirectory() as folder:
        path = Path(folder) / "check.json"
        result = run("-m", "portnn", "check", "--backends", name, "--dtype", dtype, "--output", str(path))
        reports = json.loads(path.read_text()) if path.exists() else {}
    result["output"] = result["output"].strip().splitlines()[-1]
    pieces = [piece for report in reports.values() for piece in report["pieces"] if piece["backend"] != "numpy:cpu"]
    worst = max(pieces, key=lambda piece: piece["share"], default=None)
    return result | {"networks": len(reports), "pieces": len(pieces), "worst": worst}


def bits(name: str) -> dict[str, Any]:
    """Train the built-in networks in reproducible arithmetic; say whether every bit is NumPy's."""
    result = run("-m", "portnn", "check", "--bits", "--steps", "10", "--backends", name)
    return result | {"output": result["output"].strip().splitlines()[-1]}


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
        # As tests/network/test_network.py has it for the deck's loop: no kinks, so differences stay near rounding.
        ends[name]["agrees"] = (
            ends[name]["start"] == ends["numpy"]["start"] and ends[name]["largest difference"] < 1e-10
        )
    return ends


def proofs(names: list[str]) -> dict[str, Any]:
    """Run suite, bounds, bits and accuracy side by side: each waits for its own small kernels."""
    tasks: dict[str, Callable[[], dict[str, Any]]] = {
        "tests": lambda: suite(names),
        "accuracy": lambda: run("scripts/accuracy.py", "numpy", *names),
    }
    for name in names:
        for dtype in ("float32", "float64"):
            tasks[f"bounds, {dtype}, {name}"] = partial(bounds, name, dtype)
        if name != "jax":  # it compiles each network for a minute; the suite has some of them
            tasks[f"bits, {name}"] = partial(bits, name)
    with ThreadPoolExecutor(len(tasks)) as pool:
        return {name: future.result() for name, future in {n: pool.submit(t) for n, t in tasks.items()}.items()}


def table(times: dict[str, dict[str, Any]]) -> str:
    """Return times as a Markdown table; what could not be run is a dash."""
    columns = list(dict.fromkeys(name for row in times.values() for name in row))
    lines = [f"| ms | {' | '.join(columns)} |", "|---" * (len(columns) + 1) + "|"]
    for title, row in times.items():
        cells = [f"{row[name]:.3f}" if isinstance(row.get(name), float) else "-" for name in columns]
        lines.append(f"| {title} | {' | '.join(cells)} |")
    return "\n".join(lines)


def main() -> int:
    """Measure and prove part by part; write the record after each; print the times."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--output", type=Path, help="default: benchmarks/records/gpu-DATE.json")
    parser.add_argument("--backends", help="default: every one that computes on a CUDA GPU")
    parser.add_argument("--commit", help="of a checkout without its history")
    options = parser.parse_args()
    names = options.backends.split(",") if options.backends else backends()
    if "cupy" not in backends():
        print(f"no CUDA machine: cupy: {next(i.reason for i in available_backends() if i.name == 'cupy')}")
        return 2
    record = environment()
    record["commit"] = options.commit or record["commit"]
    path = options.output or ROOT / "benchmarks" / "records" / f"gpu-{record['date'][:10]}.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    print(record["gpu"])
    parts: dict[str, Callable[[], Any]] = {
        "milliseconds per step": partial(gpu_times.step_times, names),
        "milliseconds": partial(gpu_times.other_times, names),
        "microseconds by kernel": partial(gpu_times.tried, gpu_times.kernel_times),
        "agreement": partial(agreement, names),
        "proofs": partial(proofs, names),
    }
    for part, measure in parts.items():
        record[part] = measure()
        if part == "proofs":
            path.with_name(f"{path.stem}-accuracy.md").write_text(record["proofs"]["accuracy"].pop("output"))
        path.write_text(json.dumps(record, indent=2) + "\n")
        print(f"{part}: written to {path}", flush=True)
    for name, proof in record["proofs"].items():
        print(f"{name}: exit code {proof['exit_code']}, {proof['seconds']} s; {proof.get('output', '')}")
    for name in names:
        print(f"{name}: largest difference to numpy {record['agreement'][name]['largest difference']:.1e}")
    for part in ("milliseconds per step", "milliseconds"):
        print(table(record[part]))
    passed = all(proof["exit_code"] == 0 for proof in record["proofs"].values())
    return 0 if passed and all(record["agreement"][name]["agrees"] for name in names) else 1


if __name__ == "__main__":
    sys.exit(main())
