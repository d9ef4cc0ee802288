"""
A confusion matrix
==================

Rows are the true classes, columns what they are taken for (:func:`portnn.plot.confusion_matrix`).
"""

import sys
from pathlib import Path

import numpy as np

from portnn import NeuralNetwork, metrics, plot

rows = np.loadtxt(Path(sys.argv[0]).resolve().parents[1] / "data" / "digits.csv", delimiter=",", skiprows=1)
x, y = rows[:, :-1] / 16, rows[:, -1].astype(int)
net = NeuralNetwork(64, 32, 10, output="softmax", loss="cross_entropy", seed=0)
net.fit(x[500:], y[500:], epochs=8)
ax = plot.confusion_matrix(metrics.confusion_matrix(net.predict(x[:500]), y[:500]))
ax.figure.set_label("A table of ten by ten classes: most images on the diagonal, some eights taken for ones")
ax.figure.savefig("confusion_matrix.png")
