"""One neuron (slides 27 and 28): every factor of the chain rule beside the network's gradient.

L = 1/2 (y - e)^2, y = g(z), z = sum_j x_j W_j + b; so dL/dW_i = (y - e) g'(z) x_i.
"""

import numpy as np

from portnn import NeuralNetwork

x, e = np.array([0.5, -1.0, 2.0]), 1.0
net = NeuralNetwork(3, 1, output="sigmoid", loss="half_sse", dtype="float64", seed=0)
loss, gradients = net.gradients([x], [[e]])

z = x @ net.parameters["W1"][:, 0] + net.parameters["b1"][0]
y = 1 / (1 + np.exp(-z))
error, slope = y - e, y * (1 - y)
print(f"y = g({z:+.4f}) = {y:.4f}, L = {0.5 * error**2:.6f} (network: {loss:.6f})")
for i in range(3):
    product = error * slope * x[i]
    print(f"dL/dW{i} = (y-e) {error:+.4f} * g'(z) {slope:.4f} * x{i} {x[i]:+.1f} = {product:+.6f}", end="")
    print(f"   network: {gradients['W1'][i, 0]:+.6f}")
    assert np.isclose(product, gradients["W1"][i, 0], rtol=1e-12)
print(f"dL/db  = (y-e) {error:+.4f} * g'(z) {slope:.4f}           = {error * slope:+.6f}", end="")
print(f"   network: {gradients['b1'][0]:+.6f}")
assert np.isclose(error * slope, gradients["b1"][0], rtol=1e-12)
