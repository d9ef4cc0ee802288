"""
One neuron, by hand
===================

A neuron multiplies each input by a weight, adds a bias, and applies an activation function: :math:`z =
\\sum_j x_j W_j + b`, :math:`y = g(z)`. The loss compares its output with the value :math:`e` that we want:
:math:`L = \\frac{1}{2} (y - e)^2`. The chain rule gives the gradient of the loss:

.. math:: \\frac{\\partial L}{\\partial W_i} = (y - e) \\, g'(z) \\, x_i

This page computes each factor by hand, and compares the product with what portnn computes (slides 27 and 28).
"""

import matplotlib.pyplot as plt
import numpy as np

from portnn import NeuralNetwork

x, e = np.array([0.5, -1.0, 2.0]), 1.0
net = NeuralNetwork(3, 1, output="sigmoid", loss="half_sse", dtype="float64", seed=0)
loss, gradients = net.gradients([x], [[e]])

# %%
# By hand
# -------
# The activation is the sigmoid, :math:`g(z) = 1 / (1 + e^{-z})`, whose derivative is :math:`g'(z) = y (1 -
# y)`.

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

# %%
# What the gradient is
# --------------------
# The loss as a function of one weight is a curve. The gradient is the slope of its tangent. A step against
# the gradient makes the loss smaller.

weights = np.array(net.parameters["W1"])
values = np.linspace(weights[2, 0] - 3, weights[2, 0] + 3, 121)
losses = [0.5 * (1 / (1 + np.exp(-(z + (value - weights[2, 0]) * x[2]))) - e) ** 2 for value in values]
figure, ax = plt.subplots(figsize=(6.5, 4), layout="constrained")
figure.set_label("The loss over one weight, a falling curve, with its tangent at the weight of the network")
ax.plot(values, losses, label="loss")
ax.plot(values, loss + gradients["W1"][2, 0] * (values - weights[2, 0]), "--", label="tangent: the gradient")
ax.plot(weights[2, 0], loss, "o", color="C3", label="the network")
ax.set(xlabel="W2, the weight of the third input", ylabel="loss", ylim=(-0.05, 0.55))
ax.grid(alpha=0.3)
ax.legend()
figure.savefig("one_neuron.png")
