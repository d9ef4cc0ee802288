"""
A decision boundary while training
==================================

The three arms of a spiral, and the regions that a network makes of the plane after 0, 10, 40 and 150 epochs.
Where the plane is pale the network is unsure (:func:`portnn.plot.decision_boundary`).
"""

import matplotlib.pyplot as plt
import numpy as np

from portnn import NeuralNetwork, plot

rng = np.random.default_rng(0)
arm, along = rng.integers(0, 3, 300), rng.uniform(0.1, 1, 300)
angle = arm * 2 * np.pi / 3 + 4 * along
points = along[:, None] * np.stack([np.cos(angle), np.sin(angle)], axis=1) + rng.normal(0, 0.03, (300, 2))

net = NeuralNetwork(2, 8, 8, 3, activation="tanh", output="softmax", loss="cross_entropy", learning_rate=0.02, seed=0)
figure, panels = plt.subplots(2, 2, figsize=(8.5, 7), layout="constrained")
figure.set_label("Four pictures of a plane: the regions of three classes take the shape of three arms of a spiral")
trained = 0
for epochs, panel in zip([0, 10, 40, 150], panels.flat, strict=True):
    if epochs:
        net.fit(points, arm, epochs=epochs - trained)
    trained = epochs
    plot.decision_boundary(net, points, arm, ax=panel)
    panel.set_title(f"after {epochs} epochs")
figure.savefig("decision_boundary.png")
