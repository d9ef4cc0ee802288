"""A sequence of layers (slide 32): the recurrence, written out, beside the network's gradients.

delta_L = (a_L - y) g'(z_L); delta_l = delta_(l+1) w_(l+1)^T g'(z_l); dL/dw_l = a_(l-1)^T delta_l; dL/db_l = delta_l.
"""

import numpy as np

from portnn import NeuralNetwork

rng = np.random.default_rng(0)
widths = [3, 6, 5, 4, 2]
x, y = rng.random((8, widths[0])), rng.random((8, widths[-1]))
net = NeuralNetwork(*widths, activation="tanh", output="tanh", loss="half_sse", dtype="float64", seed=0)
_, gradients = net.gradients(x, y)

p, depth = net.parameters, len(widths) - 1
a = [x]
for layer in range(1, depth + 1):
    a.append(np.tanh(a[-1] @ p[f"W{layer}"] + p[f"b{layer}"]))
delta = (a[depth] - y) * (1 - a[depth] ** 2)
for layer in range(depth, 0, -1):
    dw, db = a[layer - 1].T @ delta, delta.sum(axis=0)
    apart = max(np.abs(dw - gradients[f"W{layer}"]).max(), np.abs(db - gradients[f"b{layer}"]).max())
    print(f"layer {layer}: dL/dw {dw.shape}, dL/db {db.shape}, largest difference to the network's {apart:.1e}")
    assert apart < 1e-13
    delta = (delta @ p[f"W{layer}"].T) * (1 - a[layer - 1] ** 2)
