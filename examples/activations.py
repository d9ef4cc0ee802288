"""Slides 8 and 9: each activation with its derivative, which stands beside it in portnn/nn/activations.py."""

import matplotlib.pyplot as plt
import numpy as np

from portnn.nn.activations import ACTIVATIONS

figure, panels = plt.subplots(2, 2, figsize=(9, 6), layout="constrained")
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
