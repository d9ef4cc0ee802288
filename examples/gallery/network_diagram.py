"""
A network and its weights
=========================

:func:`portnn.plot.network` draws units and weights: red adds, blue subtracts, and a stronger line is a larger
weight. The rim of a unit is its bias. Of a wide layer both ends are drawn.
"""

import matplotlib.pyplot as plt
import numpy as np

from portnn import NeuralNetwork, plot

x = np.random.default_rng(0).standard_normal((300, 4))
net = NeuralNetwork(4, 16, "tanh", 6, "relu", 2, output="softmax", loss="cross_entropy", seed=0)
figure, (before, after) = plt.subplots(1, 2, figsize=(11, 4.5), layout="constrained")
figure.set_label("A network of 4, 16, 6 and 2 units before and after training; after it a few weights stand out")
plot.network(net, ax=before)
before.set_title("initial weights")
net.fit(x, (x[:, 0] * x[:, 1] > 0).astype(int), epochs=100, batch_size=32)
plot.network(net, ax=after)
after.set_title("after 100 epochs")
figure.savefig("network_diagram.png")

# %%
# In a notebook a network is shown as a table of its layers:

net
