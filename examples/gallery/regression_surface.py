"""
The surface of a regression
===========================

With one output that is a value, :func:`portnn.plot.decision_boundary` draws a map of its heights.
"""

import numpy as np

from portnn import NeuralNetwork, Standardize, Unstandardize, plot

points = np.random.default_rng(0).uniform(-2, 2, (400, 2))
heights = np.sin(2 * points[:, 0]) * points[:, 1]
net = NeuralNetwork(2, Standardize(), 32, 32, 1, Unstandardize(), activation="tanh", learning_rate=0.01, seed=0)
net.fit(points, heights, epochs=60)
ax = plot.decision_boundary(net, points, heights)
ax.figure.set_label("A map of heights with hills and valleys, and the points it was learnt from")
ax.figure.savefig("regression_surface.png")
