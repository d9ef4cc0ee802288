"""Slide 6: where the weights start. Uniform and standard normal are the deck's; the others fit the width."""

import matplotlib.pyplot as plt

from portnn import NeuralNetwork

figure, panels = plt.subplots(1, 4, figsize=(13, 3.2), layout="constrained")
for name, panel in zip(["uniform", "normal", "glorot", "he"], panels, strict=True):
    net = NeuralNetwork(300, 200, 1, initializer=name, seed=0)
    weights = net.parameters["W1"]
    panel.hist(weights.ravel(), bins=60)
    panel.set(title=name, xlabel="initial weight of a 300 x 200 layer")
    print(f"{name:<8} mean {weights.mean():+.3f}, standard deviation {weights.std():.3f}")
figure.savefig("initial_weights.png", dpi=120)
