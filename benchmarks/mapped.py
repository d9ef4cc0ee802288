"""Training from a file that is not to be held in memory: python benchmarks/mapped.py [GIGABYTES [WIDTH]]

Writes a sparse .npy file of float32 zeros (8 GB by default) in the folder for temporary files, trains
784-WIDTH-WIDTH-10 (1024 by default) at batch 256 on it for one shuffled epoch, and prints how much the process grew,
and the steps a second beside those from memory: every 500 steps it trains 100 on as many zeros as take 200 MB, so that
both have the same machine. A row costs the same to read whatever the network is: for small ones the share is lower.
Exits with 1 beyond 300 MB, or below 0.8 of the speed.
"""

import resource
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

from portnn import NeuralNetwork
from portnn.callbacks import Callback

FEATURES, BATCH, BLOCK, BESIDE = 784, 256, 500, 100


def network(width: int) -> NeuralNetwork:
    return NeuralNetwork(FEATURES, width, width, 10, output="softmax", loss="cross_entropy", seed=0, backend="numpy")


def labels(x: np.ndarray) -> np.ndarray:
    return (np.arange(len(x)) % 10).astype(np.int32)


class Beside(Callback):
    """Times blocks of steps, and as it goes as many from memory."""

    def __init__(self, memory: np.ndarray, width: int) -> None:
        self.memory, self.network = memory, network(width)
        self.network.fit(memory, labels(memory), batch_size=BATCH)  # what is done once is done
        self.counted, self.file, self.beside = 0, 0.0, 0.0
        self.started = time.perf_counter()

    def on_train_batch_end(self, network: NeuralNetwork, event: object) -> None:
        self.counted += 1
        if self.counted == 1:
            self.started = time.perf_counter()
        elif self.counted % BLOCK == 1:
            now = time.perf_counter()
            self.file += (now - self.started) / BLOCK
            rows = self.memory[: BESIDE * BATCH]
            self.network.fit(rows, labels(rows), batch_size=BATCH)
            self.started = time.perf_counter()
            self.beside += (self.started - now) / BESIDE


def grown() -> int:
    """Return the largest memory that the process had so far, in bytes."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def main(gigabytes: float, width: int) -> int:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "x.npy"
        rows = int(gigabytes * 1e9 / 4 / FEATURES)
        file = np.lib.format.open_memmap(path, mode="w+", dtype=np.float32, shape=(rows, FEATURES))
        del file
        mapped = np.load(path, mmap_mode="r")
        beside = Beside(np.full((200_000_000 // 4 // FEATURES, FEATURES), 0.0, np.float32), width)
        net = network(width)
        net.fit(mapped[: 10 * BATCH], labels(mapped[: 10 * BATCH]), batch_size=BATCH)
        before = grown()
        net.fit(mapped, labels(mapped), batch_size=BATCH, progress=True, callbacks=[beside])
        growth = grown() - before
    blocks = (beside.counted - 1) // BLOCK
    share = beside.beside / beside.file
    print(f"{rows} rows, {gigabytes:g} GB: grew by {growth / 1e6:.0f} MB")
    print(f"{blocks / beside.file:.0f} steps a second, {share:.2f} of those from memory")
    return 1 if growth > 300e6 or share < 0.8 else 0


if __name__ == "__main__":
    given = [float(argument) for argument in sys.argv[1:]]
    sys.exit(main(given[0] if given else 8.0, int(given[1]) if given[1:] else 1024))
