"""
Layers of any depth
===================

With several neurons a layer, weights are matrices, and :math:`\\delta` has an entry for each neuron. One
recurrence, from the last layer to the first, gives every gradient (slide 32):

.. math::

   \\delta_L &= (a_L - y) \\odot g'(z_L), \\qquad
   \\delta_l = \\delta_{l+1} W_{l+1}^T \\odot g'(z_l) \\\\
   \\frac{\\partial L}{\\partial W_l} &= a_{l-1}^T \\delta_l, \\qquad
   \\frac{\\partial L}{\\partial b_l} = \\sum_{rows} \\delta_l

This is backpropagation. Rows of the data are rows of the matrices, so that a batch is one product.
"""

import numpy as np

from portnn import NeuralNetwork, plot

rng = np.random.default_rng(0)
widths = [3, 6, 5, 4, 2]
x, y = rng.random((8, widths[0])), rng.random((8, widths[-1]))
net = NeuralNetwork(*widths, activation="tanh", output="tanh", loss="half_sse", dtype="float64", seed=0)
_, gradients = net.gradients(x, y)

# %%
# The recurrence, written out
# ---------------------------

p, depth = net.parameters, len(widths) - 1
a = [x]
for layer in range(1, depth + 1):
    a.append(np.tanh(a[-1] @ p[f"W{layer}"] + p[f"b{layer}"]))
delta = (a[depth] - y) * (1 - a[depth] ** 2)
for layer in range(depth, 0, -1):
    dw, db = a[layer - 1].T @ delta, delta.sum(axis=0)
    apart = max(np.abs(dw - gradients[f"W{layer}"]).max(), np.abs(db - gradients[f"b{layer}"]).max())
    print(f"layer {layer}: dL/dW {dw.shape}, dL/db {db.shape}, within 1e-13 of the network's: {apart < 1e-13}")
    assert apart < 1e-13
    delta = (delta @ p[f"W{layer}"].T) * (1 - a[layer - 1] ** 2)

# %%
# The network
# -----------
# Each line is a weight: red adds, blue subtracts.

ax = plot.network(net, "any_depth.png", ax=plot.pyplot().figure(figsize=(7, 3.2)).add_subplot())
ax.figure.set_label("A network of 3, 6, 5, 4 and 2 units; red and blue lines are its weights")
