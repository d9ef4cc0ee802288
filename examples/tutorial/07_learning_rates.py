"""
The learning rate
=================

The learning rate is the most important choice (slide 20). Too small, and training crawls; too large, and it
jumps about and sticks.
"""

import numpy as np

from portnn import NeuralNetwork, find_learning_rate, plot

x = np.array([[0, 0, 1], [0, 1, 1], [1, 0, 1], [1, 1, 1]])
y = np.array([[0], [1], [1], [0]])

curves = {}
for rate, verdict in [(0.01, "too small"), (1.0, "right"), (60.0, "too large")]:
    net = NeuralNetwork(
        3,
        4,
        1,
        activation="sigmoid",
        output="sigmoid",
        loss="sse",
        optimizer="sgd",
        learning_rate=rate,
        bias=False,
        dtype="float64",
        seed=0,
    )
    history = net.fit(x, y, epochs=600, batch_size=None)
    curves[f"{rate:g} ({verdict})"] = history.loss
    print(f"learning rate {rate:>5g}: loss {history.loss[0]:.4f} -> {history.loss[-1]:.4f}")
ax = plot.curves(curves, ylabel="sum of squared errors")
ax.figure.set_label("Loss over epochs at three learning rates: a flat line, a falling curve, a line that sticks")
ax.figure.savefig("learning_rates.png")

# %%
# How to find one
# ---------------
# Adam, the default, needs less care: it divides each step by the size of recent gradients. For the rest there
# is :func:`portnn.find_learning_rate`. It trains a copy while the rate grows, and suggests where the loss
# falls fastest.

rows = np.random.default_rng(0).standard_normal((400, 8))
net = NeuralNetwork(8, 32, 1, seed=0)
found = find_learning_rate(net, rows, np.sin(rows.sum(axis=1)))
print(f"suggested: {found.suggestion:.1g}")
