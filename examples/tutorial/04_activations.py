"""
Activations and their derivatives
=================================

Without an activation between them, two layers are one: a product of two matrices is a matrix. The activation
makes the difference (slides 8 and 9). In portnn each function stands beside its derivative, in
``portnn/nn/activations.py``: it returns its value, and a function that takes the gradient of its output to
that of its input.
"""

import matplotlib.pyplot as plt
import numpy as np

from portnn.nn.activations import ACTIVATIONS

figure, panels = plt.subplots(2, 2, figsize=(9, 6), layout="constrained")
figure.set_label("Sigmoid, tanh, relu and identity, each with its derivative")
for name, panel in zip(["sigmoid", "tanh", "relu", "identity"], panels.flat, strict=True):
    limit = 10.0 if name == "sigmoid" else 6.0
    z = np.linspace(-limit, limit, 201)
    a, backward = ACTIVATIONS[name](np, z)
    derivative = backward(np.ones_like(z))
    panel.plot(z, a, label=name)
    panel.plot(z, derivative, label="derivative", linestyle="--")
    panel.set(xlabel="z")
    panel.grid(alpha=0.3)
    panel.legend()
    print(f"{name:<10} at 0: {a[100]:+.3f}, slope {derivative[100]:.3f}")
figure.savefig("activations.png", dpi=120)

# %%
# The sigmoid and tanh are flat far from 0: there nearly no gradient comes through. The others are in
# :doc:`the list of activations </reference/activations>`; ``activation=`` takes any of them by its name.
