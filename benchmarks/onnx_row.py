"""One row through onnxruntime: the digits network as portnn exports it beside the same network exported by PyTorch.

    python benchmarks/onnx_row.py

Needs ``pip install 'portnn[onnx,torch]'``. The two sessions take turns, every second round in reverse; each figure is
the median of the rounds.
"""

import statistics
import tempfile
import time
import warnings
from pathlib import Path

import numpy as np
import onnxruntime
import torch
from tqdm import tqdm

from portnn import NeuralNetwork

ROUNDS, CALLS = 200, 200
DIGITS = Path(__file__).parents[1] / "examples" / "data" / "digits.csv"


def main() -> None:
    rows = np.loadtxt(DIGITS, delimiter=",", skiprows=1)
    net = NeuralNetwork(64, 128, 10, output="softmax", loss="cross_entropy", seed=0, backend="numpy")
    net.fit(rows[:, :-1] / 16, rows[:, -1].astype(int), epochs=3)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    sessions, sizes = {}, {}
    with tempfile.TemporaryDirectory() as folder:
        paths = {name: Path(folder, f"{name}.onnx") for name in ("portnn", "torch")}
        net.export_onnx(paths["portnn"])
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # the exporter without further packages is announced as old
            torch.onnx.export(
                net.to_torch(), torch.zeros(1, 64), paths["torch"], dynamo=False, input_names=["x"],
                dynamic_axes={"x": {0: "rows"}},
            )  # fmt: skip
        for name, path in paths.items():
            sessions[name] = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
            sizes[name] = path.stat().st_size - 4 * (64 * 128 + 128 + 128 * 10 + 10)
    feed = {"x": rows[:1, :-1].astype(np.float32) / 16}
    np.testing.assert_allclose(*(session.run(None, feed)[0] for session in sessions.values()), rtol=1e-5)
    seconds: dict[str, list[float]] = {name: [] for name in sessions}
    for number in tqdm(range(ROUNDS), unit="round", leave=False):
        for name, session in sorted(sessions.items(), reverse=number % 2 == 1):
            started = time.perf_counter()
            for _ in range(CALLS):
                session.run(None, feed)
            seconds[name].append((time.perf_counter() - started) / CALLS)
    medians = {name: statistics.median(times) for name, times in seconds.items()}
    ratio = statistics.median(a / b for a, b in zip(seconds["portnn"], seconds["torch"], strict=True))
    for name, median in medians.items():
        print(f"{name}: {1e6 * median:.2f} us a row, {sizes[name]} bytes beside the weights")
    print(f"portnn / torch: {ratio:.3f}, the median of the rounds' ratios")


if __name__ == "__main__":
    main()
