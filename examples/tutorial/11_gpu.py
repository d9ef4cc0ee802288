"""
The same network on a GPU
=========================

The network is written once, against the functions that array libraries have in common. ``backend="cupy"``
computes on a CUDA GPU, ``backend="torch"``, ``"jax"`` and ``"numpy"`` with those libraries, and nothing else
changes. ``"auto"`` is CuPy where a GPU answers, and NumPy elsewhere.
"""

import json
import sys
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np

from portnn import NeuralNetwork, available_backends

rows = np.loadtxt(Path(sys.argv[0]).resolve().parents[1] / "data" / "digits.csv", delimiter=",", skiprows=1)
x, y = rows[:, :-1] / 16, rows[:, -1].astype(int)

net = NeuralNetwork(64, 32, 10, output="softmax", loss="cross_entropy", seed=0, backend="auto")
net.fit(x, y, epochs=3)
print(net.backend)

# %%
# The same numbers
# ----------------
# One seed gives one start everywhere, to the bit. After training, the outputs differ by rounding errors: each
# library adds up in an order of its own. These are the libraries of the machine that built this page.

reference = None
for info in available_backends():
    if info.available and info.name in ("numpy", "jax", "torch", "cupy"):
        net = NeuralNetwork(64, 32, 10, output="softmax", loss="cross_entropy", seed=0, backend=info.name)
        start = net.fingerprint()[:12]
        net.fit(x, y, epochs=3)
        outputs = net.predict(x)
        reference = outputs if reference is None else reference
        print(f"{info.name}: start {start}, outputs within 1e-4 of NumPy's: {np.abs(outputs - reference).max() < 1e-4}")

# %%
# With ``arithmetic="reproducible"`` they do not differ at all: see :doc:`/explanation/reproducible`. ``portnn
# check`` compares each piece of a training step with a bound on its rounding error: see
# :doc:`/guides/verifying`.
#
# How long a step takes
# ---------------------
# The record of a GPU, an H200, in milliseconds. Small networks wait for kernels to start; large ones gain.

(record,) = sorted((Path(sys.argv[0]).resolve().parents[2] / "benchmarks" / "records").glob("gpu-*.json"))[-1:]
times = json.loads(record.read_text())["milliseconds per step"]
names = {"numpy": "NumPy, 16 cores", "cupy": "CuPy", "torch:cuda:0": "PyTorch", "jax": "JAX"}
figure, ax = plt.subplots(figsize=(7, 3.6), layout="constrained")
figure.set_label("Milliseconds of a step on NumPy, CuPy, PyTorch and JAX for three networks, on a logarithmic axis")
for i, (backend, label) in enumerate(names.items()):
    ax.bar(np.arange(len(times)) + 0.2 * (i - 1.5), [each[backend] for each in times.values()], 0.18, label=label)
ax.set_xticks(range(len(times)), [title.replace(", ", "\n") for title in times], fontsize=8)
ax.set(yscale="log", ylabel="milliseconds per step")
ax.grid(axis="y", alpha=0.3)
ax.legend()
figure.savefig("gpu.png")
