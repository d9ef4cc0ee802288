"""Two neurons in a row (slides 29 to 31): a2 = g(x w), a3 = g(a2 v), L = 1/2 (a3 - y)^2.

dL/dv = (a3 - y) g'(z3) a2; with delta3 = (a3 - y) g'(z3), dL/dw_i = delta3 v g'(z2) x_i.
"""

import numpy as np

from portnn import NeuralNetwork

x, y = np.array([0.5, -1.0]), 1.0
net = NeuralNetwork(2, 1, 1, activation="sigmoid", output="sigmoid", loss="half_sse", dtype="float64", seed=1)
_, gradients = net.gradients([x], [[y]])

w, v = net.parameters["W1"][:, 0], net.parameters["W2"][0, 0]
a2 = 1 / (1 + np.exp(-(x @ w)))
a3 = 1 / (1 + np.exp(-(a2 * v)))
delta3 = (a3 - y) * a3 * (1 - a3)
slope2 = a2 * (1 - a2)

print(f"delta3 = (a3-y) {a3 - y:+.4f} * g'(z3) {a3 * (1 - a3):.4f} = {delta3:+.6f}")
print(f"dL/dv  = delta3 * a2 {a2:.4f} = {delta3 * a2:+.6f}   network: {gradients['W2'][0, 0]:+.6f}")
assert np.isclose(delta3 * a2, gradients["W2"][0, 0], rtol=1e-12)
for i in range(2):
    product = delta3 * v * slope2 * x[i]
    print(f"dL/dw{i} = delta3 * v {v:+.4f} * g'(z2) {slope2:.4f} * x{i} {x[i]:+.1f} = {product:+.6f}", end="")
    print(f"   network: {gradients['W1'][i, 0]:+.6f}")
    assert np.isclose(product, gradients["W1"][i, 0], rtol=1e-12)
