"""Handwritten digits: 1797 images of 8 x 8 pixels, a fifth of them held out."""

from pathlib import Path

import numpy as np

from portnn import NeuralNetwork, Standardize

rows = np.loadtxt(Path(__file__).parent / "data" / "digits.csv", delimiter=",", skiprows=1)
order = np.random.default_rng(0).permutation(len(rows))
x, y = rows[order, :-1], rows[order, -1].astype(int)
x_test, y_test, x, y = x[:359], y[:359], x[359:], y[359:]

net = NeuralNetwork(64, Standardize(), 128, 10, output="softmax", loss="cross_entropy", seed=0)
history = net.fit(x, y, epochs=30, validation=(x_test, y_test), metrics=["accuracy"])
print(net.summary())
print(f"accuracy {history.metrics['validation_accuracy'][-1]:.4f} on {len(x_test)} digits not trained on")
wrong = np.flatnonzero(net.predict_classes(x_test) != y_test)
print(f"{len(wrong)} wrong; the first: a {y_test[wrong[0]]} taken for a {net.predict_classes(x_test[wrong[:1]])[0]}")
history.plot("digits.png", log=True)
