"""SIGKILL at random instants of a training on digits: resumed, it ends with the fingerprint of one never stopped.

    python tests/killed.py [TIMES]

Dropout, adamw, a cosine schedule, early stopping, averaging and shuffles; a checkpoint every 7 steps. Each run is
killed once, at an instant drawn from its first checkpoint on, and called again; the last one goes on on PyTorch, where
it is installed, in reproducible arithmetic.
"""

import signal
import subprocess
import sys
import tempfile
import time
from importlib.util import find_spec
from pathlib import Path

import numpy as np
from tqdm import tqdm

ROOT = Path(__file__).resolve().parents[1]


def train(path: str, backend: str, arithmetic: str) -> str:
    """Train where the checkpoint is, and return the fingerprint."""
    from portnn import AdamW, Checkpoint, Dropout, NeuralNetwork, schedules
    from portnn.callbacks import EarlyStopping

    rows = np.loadtxt(ROOT / "examples" / "data" / "digits.csv", delimiter=",", skiprows=1)
    optimizer = AdamW(schedules.Cosine(0.005, 600), average=0.99)
    net = NeuralNetwork(
        64, 64, "relu", Dropout(0.2), 10, output="softmax", loss="cross_entropy", optimizer=optimizer, seed=0,
        backend=backend, arithmetic=arithmetic,
    )  # fmt: skip
    net.fit(
        rows[:, :-1] / 16,
        rows[:, -1].astype(int),
        epochs=40,
        batch_size=96,
        validation=0.2,
        metrics=["accuracy"],
        callbacks=[EarlyStopping("validation_accuracy", patience=8)],
        checkpoint=Checkpoint(path, steps=7),
    )
    return f"{net.fingerprint()} {net.step_count}"


def started(path: Path, backend: str = "numpy", arithmetic: str = "fast") -> "subprocess.Popen[str]":
    command = [sys.executable, __file__, "--train", str(path), backend, arithmetic]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True)


def finished(path: Path, *kind: str) -> tuple[str, float]:
    """Return what a run to the end prints, and the seconds from its first checkpoint on."""
    process = started(path, *kind)
    begun = checkpoint_seen(path, process)
    output, _ = process.communicate(timeout=300)
    if process.returncode:
        raise SystemExit(f"a run ended with {process.returncode}")
    return output.strip(), time.perf_counter() - begun


def checkpoint_seen(path: Path, process: "subprocess.Popen[str]") -> float:
    """Return when there is a checkpoint."""
    while not path.exists() and process.poll() is None:
        time.sleep(0.002)
    return time.perf_counter()


def killed(path: Path, seconds: float, *kind: str) -> None:
    """Start a run, and kill it so long after its first checkpoint."""
    process = started(path, *kind)
    checkpoint_seen(path, process)
    time.sleep(seconds)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    if process.returncode != -signal.SIGKILL:
        raise SystemExit("a run was done before it was killed: try again on a machine with less to do")


def main(times: int) -> int:
    rng, wrong = np.random.default_rng(0), 0
    with tempfile.TemporaryDirectory() as folder:
        expected, seconds = finished(Path(folder) / "whole")
        for number in tqdm(range(times), unit="kill"):
            path = Path(folder) / f"{number}"
            killed(path, rng.uniform(0.0, 0.8 * seconds))
            wrong += finished(path)[0] != expected
        print(f"{times - wrong} of {times} as the unbroken run: {expected} steps")
        if find_spec("torch"):
            path = Path(folder) / "moved"
            expected, seconds = finished(Path(folder) / "exact", "numpy", "reproducible")
            killed(path, seconds / 2, "numpy", "reproducible")
            same = finished(path, "torch", "reproducible")[0] == expected
            wrong += not same
            print(f"from NumPy to PyTorch, reproducible: {'the same' if same else 'OTHER'} bits")
    return 1 if wrong else 0


if __name__ == "__main__":
    if sys.argv[1:2] == ["--train"]:
        print(train(*sys.argv[2:]))
    else:
        sys.exit(main(int(sys.argv[1]) if len(sys.argv) > 1 else 20))
