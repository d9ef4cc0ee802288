"""Training from a file that is not to be held in memory: python benchmarks/mapped.py [GIGABYTES [WIDTH]]

Writes a sparse .npy file of float32 zeros (8 GB by default) in the folder for temporary files, trains
784-WIDTH-WIDTH-10 (1024 by default) at batch 256 on it for one shuffled epoch, and prints how much the process grew,
and the steps a second beside those from memory, of as many rows as take 200 MB. A row costs the same to read whatever
the network is: for small ones the share is lower. Exits with 1 beyond 300 MB, or below 0.8 of the speed.
"""

import resource
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

from portnn import NeuralNetwork

FEATURES, BATCH = 784, 256


def trained(x: np.ndarray, width: int) -> float:
    """Return the steps a second of an epoch."""
    y = (np.arange(len(x)) % 10).astype(np.int32)
    net = NeuralNetwork(FEATURES, width, width, 10, output="softmax", loss="cross_entropy", seed=0, backend="numpy")
    net.fit(x[: 10 * BATCH], y[: 10 * BATCH], batch_size=BATCH)  # what is done once is done
    started = time.perf_counter()
    net.fit(x, y, batch_size=BATCH, progress=True)
    return len(x) / BATCH / (time.perf_counter() - started)


def grown() -> int:
    """Return the largest memory that the process had so far, in bytes."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def main(gigabytes: float, width: int) -> int:
    rng = np.random.default_rng(0)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "x.npy"
        rows = int(gigabytes * 1e9 / 4 / FEATURES)
        file = np.lib.format.open_memmap(path, mode="w+", dtype=np.float32, shape=(rows, FEATURES))
        del file
        mapped = np.load(path, mmap_mode="r")
        trained(np.zeros((10 * BATCH, FEATURES), np.float32), width)  # libraries and buffers are there
        before = grown()
        from_file = trained(mapped, width)
        growth = grown() - before
        from_memory = trained(rng.standard_normal((200_000_000 // 4 // FEATURES, FEATURES)).astype(np.float32), width)
    print(f"{rows} rows, {gigabytes:g} GB: grew by {growth / 1e6:.0f} MB")
    print(f"{from_file:.0f} steps a second, {from_file / from_memory:.2f} of those from memory")
    return 1 if growth > 300e6 or from_file < 0.8 * from_memory else 0


if __name__ == "__main__":
    given = [float(argument) for argument in sys.argv[1:]]
    sys.exit(main(given[0] if given else 8.0, int(given[1]) if given[1:] else 1024))
