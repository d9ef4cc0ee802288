"""
Loss and metrics over epochs
============================

``history.plot()`` draws the loss and each metric, of training and validation. The dotted line marks the epoch
with the least validation loss. ``metric="accuracy"`` draws one of them; ``ax=`` draws into a figure of yours.
"""

import sys
from pathlib import Path

import numpy as np

from portnn import NeuralNetwork, plot

rows = np.loadtxt(Path(sys.argv[0]).resolve().parents[1] / "data" / "digits.csv", delimiter=",", skiprows=1)
x, y = rows[:, :-1] / 16, rows[:, -1].astype(int)

net = NeuralNetwork(64, 64, 10, output="softmax", loss="cross_entropy", learning_rate=0.01, seed=0)
history = net.fit(x[:400], y[:400], epochs=25, validation=(x[400:], y[400:]), metrics=["accuracy"])
ax = history.plot()
ax.figure.set_label("Training loss falls to nearly 0 while validation loss levels off; accuracy of both beside it")
ax.figure.savefig("curves.png")

# %%
# The same in one's own figure, by :func:`portnn.plot.curves`, from any numbers:

ax = plot.curves({"training": history.loss, "validation": history.metrics["validation_loss"]}, log=True)
ax.figure.set_label("Two curves on a logarithmic axis")
