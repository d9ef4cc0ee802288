"""Slide 20: a learning rate too small crawls, one too large jumps about and sticks, the right one arrives."""

import numpy as np

from portnn import NeuralNetwork, plot

x = np.array([[0, 0, 1], [0, 1, 1], [1, 0, 1], [1, 1, 1]])
y = np.array([[0], [1], [1], [0]])

curves = {}
for rate, verdict in [(0.01, "too small"), (1.0, "right"), (20.0, "too large")]:
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
plot.curves(curves, "learning_rates.png", ylabel="sum of squared errors")
