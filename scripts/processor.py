#!/usr/bin/env python
"""Print, as JSON, what trainings end with on this processor: the same in reproducible arithmetic on any.

    python scripts/processor.py [MODEL] [--saved FILE] [--quick]

``MODEL``, a network that was saved elsewhere, is loaded and trained on. ``--saved`` writes such a network. ``--quick``
trains 28 steps of each case of tests/integration/test_training_bits.py instead of 224. Exits with 1 where a digest is
not the written one.
"""

import argparse
import hashlib
import json
import platform
import sys
from pathlib import Path
from typing import Any

import numpy as np

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "tests"), str(ROOT / "tests" / "integration")]

import test_training_bits  # noqa: E402 (the tests are no package)

from portnn import NeuralNetwork  # noqa: E402

ROWS = 140
"""Of the digits: what is trained on in fast arithmetic, and in the files."""


def blas() -> str:
    """Return which BLAS NumPy has, and which of its kernels."""
    import threadpoolctl

    libraries = [info for info in threadpoolctl.threadpool_info() if info["user_api"] == "blas"]
    if libraries:
        info = libraries[0]
        return f"{info['internal_api']} {info['version']} {info.get('architecture', '')}".strip()
    build: dict[str, Any] = np.show_config(mode="dicts")["Build Dependencies"]["blas"]  # type: ignore[index, assignment]
    return f"{build['name']} {build['version']}"


def digits() -> tuple[np.ndarray, np.ndarray]:
    """Return (ROWS, 64) pixels and their labels."""
    file = ROOT / "examples" / "data" / "digits.csv"
    rows = np.loadtxt(file, delimiter=",", skiprows=1, max_rows=ROWS)
    return rows[:, :-1] / 16, rows[:, -1].astype(np.int64)


def trained(arithmetic: str) -> NeuralNetwork:
    """Return a network after fourteen steps on the digits."""
    net = NeuralNetwork(64, 16, 10, output="softmax", loss="cross_entropy", seed=0, arithmetic=arithmetic)
    net.fit(*digits(), epochs=2, batch_size=20)
    return net


def trained_on(path: Path) -> str:
    """Return the fingerprint of a saved network after another epoch: its weights and what its optimizer kept."""
    net = NeuralNetwork.load(path, backend="numpy")
    net.fit(*digits(), epochs=1, batch_size=20)
    return net.fingerprint()


def written_digests(quick: bool) -> dict[str, bool]:
    """Return, by case of tests/integration/test_training_bits.py, whether its digests are the written ones."""
    found = {}
    for case in test_training_bits.CASES:
        digests = test_training_bits.digests(
            case, "numpy", test_training_bits.STEPS[:1] if quick else test_training_bits.STEPS
        )
        found[case] = digests == test_training_bits.DIGESTS[case][: len(digests)]
    return found


def main() -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("model", nargs="?", type=Path)
    parser.add_argument("--saved", type=Path)
    parser.add_argument("--quick", action="store_true")
    asked = parser.parse_args()
    net, cases = trained("reproducible"), written_digests(asked.quick)
    found: dict[str, Any] = {
        "machine": platform.machine(),
        "byte order": sys.byteorder,
        "python": platform.python_version(),
        "numpy": np.__version__,
        "blas": blas(),
        "fast": trained("fast").fingerprint(),
        "reproducible": net.fingerprint(),
        "cases": cases,
    }
    if asked.saved:
        net.save(asked.saved)
        found["saved"] = hashlib.sha256(asked.saved.read_bytes()).hexdigest()
    if asked.model:
        found["trained on"] = trained_on(asked.model)
    print(json.dumps(found))
    return 0 if all(cases.values()) else 1


if __name__ == "__main__":
    sys.exit(main())
