"""
Dead and saturated units
========================

:func:`portnn.diagnose` examines one step on a batch, and names units that pass no gradient. Here one unit is
switched off, and another is set far out, to show what that looks like.
"""

import sys
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np

from portnn import NeuralNetwork, Standardize, diagnose

rows = np.loadtxt(Path(sys.argv[0]).resolve().parents[1] / "data" / "digits.csv", delimiter=",", skiprows=1)
x, y = rows[:, :-1], rows[:, -1].astype(int)
net = NeuralNetwork(Standardize(), 64, "relu", 64, "tanh", 10, output="softmax", loss="cross_entropy", seed=0)
net.fit(x[400:], y[400:], epochs=5)

b1, b2 = np.array(net.parameters["b1"]), np.array(net.parameters["b2"])
b1[7], b2[3] = -15.0, 10.0
net.set_parameters({"b1": b1, "b2": b2})
diagnosis = diagnose(net, x[:400], y[:400])
print(diagnosis)

# %%
# Histograms of what each layer gives, and of the gradients that come back to it:

figure, (outputs, gradients) = plt.subplots(1, 2, figsize=(12, 4.5), layout="constrained")
figure.set_label(
    "Histograms of each layer's outputs and gradients, one below the other, with their standard deviations"
)
diagnosis.plot(ax=outputs)
diagnosis.plot(what="gradients", ax=gradients)
figure.savefig("diagnosis.png")
