"""
A range test of the learning rate
=================================

:func:`portnn.find_learning_rate` trains a copy for a hundred steps while the rate grows, and suggests the
rate around which the loss falls fastest.
"""

import sys
from pathlib import Path

import numpy as np

from portnn import NeuralNetwork, Standardize, find_learning_rate

rows = np.loadtxt(Path(sys.argv[0]).resolve().parents[1] / "data" / "digits.csv", delimiter=",", skiprows=1)
x, y = rows[:, :-1], rows[:, -1].astype(int)
net = NeuralNetwork(Standardize(), 64, "relu", 64, "tanh", 10, output="softmax", loss="cross_entropy", seed=0)
found = find_learning_rate(net, x, y)
print(f"suggested: {found.suggestion:.1g}")
ax = found.plot()
ax.figure.set_label(
    "Loss over learning rates on a logarithmic axis: flat, then falling, then rising; the suggestion is marked"
)
ax.figure.savefig("learning_rate.png")
