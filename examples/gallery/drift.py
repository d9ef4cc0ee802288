"""
How far two libraries drift apart
=================================

Each step of a training is within its rounding-error bound on every library, but rounding errors add up over
the steps. In reproducible arithmetic there are none between libraries: the distance is zero, which has a row
of its own below the logarithmic axis (:func:`portnn.plot.drift`, ``portnn check --output drift.png``).
"""

import numpy as np

from portnn import NeuralNetwork, available_backends, plot

x = np.random.default_rng(0).standard_normal((64, 10))
y = (x[:, :1] * x[:, 1:2] > 0) * 1.0


def parameters(backend, arithmetic):
    """Return the parameters after each of 30 steps."""
    net = NeuralNetwork(10, 16, 1, activation="tanh", backend=backend, arithmetic=arithmetic, seed=0)
    taken = []
    for _ in range(30):
        net.step(x, y)
        taken.append(np.concatenate([p.ravel() for p in net.to("numpy").parameters.values()]))
    return np.array(taken)


here = {info.name for info in available_backends() if info.available}
others = [name for name in ("torch", "jax", "cupy") if name in here][:1]  # one is enough for a picture
if not others:
    raise SystemExit("drift.py: expected another array library beside NumPy: pip install 'portnn[torch]'")
distances = {}
for arithmetic in ("fast", "reproducible"):
    truth = parameters("numpy", arithmetic)
    for name in others:
        apart = np.linalg.norm(parameters(name, arithmetic) - truth, axis=1)
        distances[name, arithmetic] = apart / np.linalg.norm(truth, axis=1)
ax = plot.drift(distances)
ax.figure.set_label(
    "Distance from NumPy over 30 steps: in fast arithmetic it grows from step to step, in reproducible it is 0"
)
ax.figure.savefig("drift.png")
