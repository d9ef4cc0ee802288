"""
Two neurons in a row
====================

The output of one neuron is the input of the next: :math:`a_2 = g(x w)`, :math:`a_3 = g(a_2 v)`, with the loss
:math:`L = \\frac{1}{2} (a_3 - y)^2`. The gradient of the second weight has one factor more than that of one
neuron, the gradient of the first weights has two more (slides 29 to 31):

.. math::

   \\delta_3 = (a_3 - y) \\, g'(z_3), \\qquad
   \\frac{\\partial L}{\\partial v} = \\delta_3 \\, a_2, \\qquad
   \\frac{\\partial L}{\\partial w_i} = \\delta_3 \\, v \\, g'(z_2) \\, x_i
"""

import matplotlib.pyplot as plt
import numpy as np

from portnn import NeuralNetwork

x, y = np.array([0.5, -1.0]), 1.0
net = NeuralNetwork(2, 1, 1, activation="sigmoid", output="sigmoid", loss="half_sse", dtype="float64", seed=1)
_, gradients = net.gradients([x], [[y]])

# %%
# Forward, then backward
# ----------------------

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

# %%
# Why depth is hard for the sigmoid
# ---------------------------------
# :math:`g'` is at most 1/4. Each sigmoid between a weight and the loss multiplies the gradient by such a
# number, so the first layers of a deep network learn slowly. The relu passes the gradient on unchanged where
# it is positive.

depths = range(2, 13)
sizes: dict[str, list[float]] = {"sigmoid": [], "tanh": [], "relu": []}
rows, targets = np.random.default_rng(0).standard_normal((2, 64, 16))
for name, norms in sizes.items():
    for depth in depths:
        deep = NeuralNetwork(*[16] * (depth + 1), activation=name, loss="mse", dtype="float64", seed=0)
        norms.append(float(np.linalg.norm(deep.gradients(rows, targets)[1]["W1"])))
figure, ax = plt.subplots(figsize=(6.5, 4), layout="constrained")
figure.set_label(
    "The gradient of the first layer over depth: that of sigmoid falls by decades, those of tanh and relu stay"
)
for name, norms in sizes.items():
    ax.semilogy(depths, norms, "o-", label=name)
ax.set(xlabel="layers", ylabel="norm of the first layer's gradient")
ax.grid(alpha=0.3)
ax.legend()
figure.savefig("two_neurons.png")
