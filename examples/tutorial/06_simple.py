"""
The network 3-4-1 learns
========================

The deck's example (slides 13 to 16): a network of three inputs, four hidden units and one output learns the
exclusive or of its first two inputs. The third input is always 1. A step takes all four rows, computes the
gradient, and moves the weights against it, :math:`W \\leftarrow W - \\eta \\, \\partial L / \\partial W`,
with the learning rate :math:`\\eta = 1`.
"""

import numpy as np

from portnn import NeuralNetwork

x = np.array([[0, 0, 1], [0, 1, 1], [1, 0, 1], [1, 1, 1]])
y = np.array([[0], [1], [1], [0]])

net = NeuralNetwork(
    3,
    4,
    1,
    activation="sigmoid",
    output="sigmoid",
    loss="sse",
    optimizer="sgd",
    learning_rate=1.0,
    bias=False,
    initializer="uniform",
    dtype="float64",
    seed=0,
)
history = net.fit(x, y, epochs=1000, batch_size=None)

print(net.predict(x).round(2))
print(f"loss {history.loss[0]:.4f} -> {history.loss[-1]:.4f}")

# %%
# The loss curve
# --------------
# For some hundred steps nothing seems to happen, then the network finds the rule.

ax = history.plot()
ax.figure.set_label("The loss over 1,000 steps: flat at 1, then falling to nearly 0")
ax.figure.savefig("simple.png")
