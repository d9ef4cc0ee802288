"""
Where the weights start
=======================

Training starts from random weights: if all were equal, all units of a layer would stay equal for ever. The
deck draws them uniformly from [0, 1), or from the standard normal distribution (slide 6). Both are too wide
for a layer of many inputs, whose sums then lie where the activation is flat. ``glorot`` and ``he`` take the
number of inputs into account.
"""

import matplotlib.pyplot as plt

from portnn import NeuralNetwork

figure, panels = plt.subplots(1, 4, figsize=(13, 3.2), layout="constrained")
figure.set_label("Histograms of the initial weights: uniform, normal, glorot, he")
for name, panel in zip(["uniform", "normal", "glorot", "he"], panels, strict=True):
    net = NeuralNetwork(300, 200, 1, initializer=name, seed=0)
    weights = net.parameters["W1"]
    panel.hist(weights.ravel(), bins=60)
    panel.set(title=name, xlabel="initial weight of a 300 x 200 layer")
    print(f"{name:<8} mean {weights.mean():+.3f}, standard deviation {weights.std():.3f}")
figure.savefig("initial_weights.png", dpi=120)

# %%
# One seed gives the same weights on every array library: they are drawn on the host, in float64. Without
# ``initializer=`` portnn takes the one that suits the activation: ``he`` for relu, ``glorot`` for sigmoid and
# tanh.

print(NeuralNetwork(300, 200, 1, seed=0, backend="numpy").fingerprint()[:12])
print(NeuralNetwork(300, 200, 1, seed=0, backend="numpy").fingerprint()[:12])
