"""Training from a file that is not to be held in memory: python benchmarks/mapped.py [GIGABYTES]

Writes a sparse .npy file of float32 zeros (8 GB by default) in the folder for temporary files, trains 784-512-512-10 at
batch 256 on it for two shuffled epochs, and prints how much the process grew, and the steps a second of each epoch
beside those from memory, of as many rows as take 200 MB. In the first epoch the system reads the file; what it keeps of
it is its own affair. Exits with 1 beyond 300 MB, or below 0.8 of the speed in the second.
"""

import resource
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

from portnn import NeuralNetwork

FEATURES, BATCH = 784, 256


def trained(x: np.ndarray) -> list[float]:
    """Return the steps a second of each of two epochs."""
    y = (np.arange(len(x)) % 10).astype(np.int32)
    net = NeuralNetwork(FEATURES, 512, 512, 10, output="softmax", loss="cross_entropy", seed=0, backend="numpy")
    net.fit(x[: 10 * BATCH], y[: 10 * BATCH], batch_size=BATCH)  # what is done once is done
    ends = [time.perf_counter()]
    net.fit(x, y, epochs=2, batch_size=BATCH, progress=True, callbacks=[lambda *_: ends.append(time.perf_counter())])
    return (len(x) / BATCH / np.diff(ends)).tolist()


def grown() -> int:
    """Return the largest memory that the process had so far, in bytes."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def main(gigabytes: float) -> int:
    rng = np.random.default_rng(0)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "x.npy"
        rows = int(gigabytes * 1e9 / 4 / FEATURES)
        file = np.lib.format.open_memmap(path, mode="w+", dtype=np.float32, shape=(rows, FEATURES))
        del file
        mapped = np.load(path, mmap_mode="r")
        trained(np.zeros((10 * BATCH, FEATURES), np.float32))  # libraries and buffers are there
        before = grown()
        from_file = trained(mapped)
        growth = grown() - before
        from_memory = trained(rng.standard_normal((200_000_000 // 4 // FEATURES, FEATURES)).astype(np.float32))
    print(f"{rows} rows, {gigabytes:g} GB: grew by {growth / 1e6:.0f} MB")
    shares = [each / from_memory[1] for each in from_file]
    for which, steps, share in zip(("first", "second"), from_file, shares, strict=True):
        print(f"{which} epoch: {steps:.0f} steps a second, {share:.2f} of those from memory")
    return 1 if growth > 300e6 or shares[1] < 0.8 else 0


if __name__ == "__main__":
    sys.exit(main(float(sys.argv[1]) if len(sys.argv) > 1 else 8.0))
