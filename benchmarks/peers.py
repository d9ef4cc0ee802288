"""portnn beside its peers: python benchmarks/peers.py [--work WORD] [--rounds N] [--mnist FOLDER] [--output FILE.json]

Each contender works in a process of its own (two libraries' thread pools in one process slow each other), one at a
time, in turns; each round's times are compared with each other, so that what slows the machine slows all of them.
Without --output the table is printed. What cannot run here is said with the reason.
"""

import argparse
import datetime
import json
import math
import os
import platform
import signal
import statistics
import subprocess
import sys
import time
from importlib.metadata import PackageNotFoundError, distribution, version
from pathlib import Path
from typing import Any

import numpy as np
from contenders import CONTENDERS, MNIST, WORKS, takes_part
from table import markdown, picture

HERE = Path(__file__).resolve().parent
PACKAGES = "numpy torch jax jaxlib optax scikit-learn keras thinc onnxruntime".split()
IMPORTS = {"portnn": "portnn", "torch": "torch", "jax": "jax.numpy", "scikit-learn": "sklearn.neural_network",
           "keras": "keras", "thinc": "thinc.api", "onnxruntime": "onnxruntime"}  # fmt: skip
SECONDS = 0.08
"""Of one block, about."""


class Contender:
    """A library in a process of its own, that works when it is asked."""

    def __init__(self, name: str, work: str) -> None:
        self.name, self.times, self.last = name, [], {}
        self._process = subprocess.Popen(
            [sys.executable, "contenders.py", name, work],
            cwd=HERE,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    times: list[float]

    def ask(self, units: int) -> float:
        """Return the seconds of one unit, in a block of so many. Raises RuntimeError with what the process said."""
        assert self._process.stdin
        assert self._process.stdout
        assert self._process.stderr
        try:
            self._process.send_signal(signal.SIGCONT)
            self._process.stdin.write(f"{units}\n")
            self._process.stdin.flush()
        except BrokenPipeError:
            pass
        line = self._process.stdout.readline()
        if not line.startswith("{"):
            said = self._process.stderr.read().strip().splitlines()
            raise RuntimeError(said[-1] if said else "ended without a word")
        self.last = json.loads(line)
        self._process.send_signal(signal.SIGSTOP)  # or the threads of its BLAS would spin on into another's block
        return float(self.last["seconds"]) / max(units, 1)

    def close(self) -> None:
        self._process.kill()
        self._process.communicate()


def measured(work: str, names: list[str], rounds: int) -> dict[str, Any]:
    """Return what each contender took: {name: {"seconds": ..., "ratio": ..., ...}, or {"failed": reason}}."""
    found: dict[str, Any] = {}
    running: list[tuple[Contender, int]] = []
    for name in names:
        contender = Contender(name, work)
        try:
            units = 1
            contender.ask(0)  # it has started when it answers
            if work != MNIST:
                contender.ask(4)  # compiles, warms up
                once = contender.ask(4)
                units = max(2, math.ceil(SECONDS / once))
                contender.ask(units)
            running.append((contender, units))
        except RuntimeError as error:
            found[name] = {"failed": str(error)}
            contender.close()
    values: dict[str, list[float]] = {contender.name: [] for contender, _ in running}
    for number in range(rounds):
        for contender, units in running if number % 2 else reversed(running):
            contender.times.append(contender.ask(units))
            values[contender.name].append(contender.last["value"])
    ours = next((contender.times for contender, _ in running if contender.name == "portnn on numpy"), None)
    for contender, _ in running:
        times = contender.times
        entry = found[contender.name] = {"seconds": statistics.median(times), "mb": contender.last["mb"]}
        if ours:
            entry["ratio"] = interval([mine / theirs for mine, theirs in zip(ours, times, strict=True)])
        if work == MNIST:
            entry["accuracy"] = values[contender.name]
            reached = [i for i, value in enumerate(values[contender.name]) if value >= 0.975]
            entry["to 97.5 %"] = sum(times[: reached[0] + 1]) if reached else None
        contender.close()
    return found


def interval(ratios: list[float]) -> list[float]:
    """Return (median, low, high): the median, and a 95 % interval of it by order statistics (the sign test's)."""
    ordered, n = sorted(ratios), len(ratios)
    k = max(0, math.floor(n / 2 - 0.98 * math.sqrt(n)))
    return [statistics.median(ordered), ordered[k], ordered[n - 1 - k]]


def imports() -> dict[str, Any]:
    """Return for each library the median seconds of an import beyond Python's start, and the MB that it installs."""
    found = {}
    for name, module in {"": "sys", **IMPORTS}.items():
        command, times = [sys.executable, "-c", f"import {module}"], []
        for _ in range(5):
            started = time.perf_counter()
            if subprocess.run(command, capture_output=True, check=False).returncode:
                break
            times.append(time.perf_counter() - started)
        else:
            found[name] = {"seconds": statistics.median(times), "mb": installed(name) if name else 0.0}
    start = found.pop("")["seconds"]
    return {name: {**entry, "seconds": entry["seconds"] - start} for name, entry in found.items()}


def installed(package: str, seen: set[str] | None = None) -> float:
    """Return the MB of a package and of what it cannot do without."""
    seen = set() if seen is None else seen
    try:
        found = distribution(package)
    except PackageNotFoundError:
        return 0.0
    if found.name.lower() in seen:
        return 0.0
    seen.add(found.name.lower())
    own = sum(path.stat().st_size for file in found.files or () if (path := Path(str(file.locate()))).is_file())
    needs = [need for need in found.requires or () if "extra ==" not in need]
    names = ["".join(c if c.isalnum() or c in "-_." else " " for c in need).split()[0] for need in needs]
    return own / 2**20 + sum(installed(name, seen) for name in names)


def environment() -> dict[str, Any]:
    """Return date, processor, BLAS and versions."""
    lines = Path("/proc/cpuinfo").read_text().splitlines() if Path("/proc/cpuinfo").exists() else []
    model = next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), "")
    versions = {}
    for package in ("portnn", *PACKAGES):
        try:
            versions[package] = version(package)
        except PackageNotFoundError:
            versions[package] = "not installed"
    blas = np.show_config(mode="dicts")["Build Dependencies"]["blas"]  # type: ignore[call-overload,index,unused-ignore]
    return {
        "date": datetime.datetime.now(datetime.UTC).date().isoformat(),
        "processor": f"{model or platform.processor()}, {os.cpu_count()} cores",
        "python": platform.python_version(),
        "blas of numpy": f"{blas['name']} {blas['version']}",
        "versions": versions,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--work", action="append", help="works whose name begins so; all without it")
    parser.add_argument("--contender", action="append", choices=CONTENDERS, help="all without it")
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--mnist", help="folder of MNIST's four files")
    parser.add_argument("--imports", action="store_true", help="time of imports and size on disk too")
    parser.add_argument("--output", type=Path, help="FILE.json, to which works are added; beside it FILE.md, FILE.png")
    given = parser.parse_args()
    if given.mnist:
        os.environ["MNIST"] = str(Path(given.mnist).resolve())
    works = [work for work in WORKS if not given.work or work.startswith(tuple(given.work))]
    works = [work for work in works if work != MNIST or given.mnist]
    record: dict[str, Any] = {"environment": environment(), "rounds": given.rounds, "works": {}}
    if given.output and given.output.exists():
        before = json.loads(given.output.read_text())
        if {key: before[key] for key in ("environment", "rounds")} != {
            key: record[key] for key in record if key != "works"
        }:
            parser.error(f"--output: {given.output} was made on another day, machine or with other versions")
        record = before
    for work in works:
        names = [name for name in given.contender or CONTENDERS if takes_part(name, work)]
        rounds = min(given.rounds, 10) if work == MNIST else given.rounds
        print(f"{work}: {', '.join(names)}", file=sys.stderr, flush=True)
        record["works"][work] = measured(work, names, rounds)
        if given.output:  # what is done is kept, whatever comes
            given.output.write_text(json.dumps(record, indent=1) + "\n")
    if given.imports:
        record["imports"] = imports()
    record["works"] = {work: record["works"][work] for work in WORKS if work in record["works"]}
    if given.output:
        given.output.write_text(json.dumps(record, indent=1) + "\n")
        given.output.with_suffix(".md").write_text(markdown(record))
        picture(record, given.output.with_suffix(".png"))
    print(markdown(record))


if __name__ == "__main__":
    main()
