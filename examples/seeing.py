"""Look into two networks: one on a plane, whose weights and boundary can be drawn, and one on digits."""

from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np

from portnn import NeuralNetwork, Standardize, diagnose, find_learning_rate, metrics, plot

# Three arms of a spiral.
rng = np.random.default_rng(0)
arm, along = rng.integers(0, 3, 300), rng.uniform(0.1, 1, 300)
angle = arm * 2 * np.pi / 3 + 4 * along
points = along[:, None] * np.stack([np.cos(angle), np.sin(angle)], axis=1) + rng.normal(0, 0.03, (300, 2))

net = NeuralNetwork(2, 8, 8, 3, activation="tanh", output="softmax", loss="cross_entropy", learning_rate=0.02, seed=0)
net.fit(points, arm, epochs=150)
figure, (left, right) = plt.subplots(1, 2, figsize=(11, 4.6), layout="constrained")
plot.network(net, ax=left)
plot.decision_boundary(net, points, arm, ax=right)
figure.savefig("seeing_plane.png", dpi=90)

rows = np.loadtxt(Path(__file__).parent / "data" / "digits.csv", delimiter=",", skiprows=1)
x, y = rows[:, :-1], rows[:, -1].astype(int)
net = NeuralNetwork(Standardize(), 64, "relu", 64, "tanh", 10, output="softmax", loss="cross_entropy", seed=0)
found = find_learning_rate(net, x[400:], y[400:])
print(f"learning rate: {found.suggestion:.2g}")
net.learning_rate = found.suggestion
history = net.fit(x[400:], y[400:], epochs=15, validation=0.2)
print(net.summary())

# A unit that is switched off, and one that is far out: the diagnosis names them.
ill = net.to()
b1, b2 = np.array(net.parameters["b1"]), np.array(net.parameters["b2"])
b1[7], b2[3] = -15.0, 10.0
ill.set_parameters({"b1": b1, "b2": b2})
diagnosis = diagnose(ill, x[:400], y[:400])
print(diagnosis)

figure, panels = plt.subplots(2, 2, figsize=(12, 9.5), layout="constrained")
found.plot(ax=panels[0, 0])
history.plot(ax=panels[0, 1])
diagnosis.plot(ax=panels[1, 0])
plot.confusion_matrix(metrics.confusion_matrix(net.predict(x[:400]), y[:400]), ax=panels[1, 1])
figure.savefig("seeing_digits.png", dpi=70)
