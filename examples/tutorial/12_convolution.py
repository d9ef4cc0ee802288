"""
Convolution
===========

A dense layer sees an image as a list of pixels: it does not know which are neighbours. A convolution has small
kernels that look at one window of the image after the other, with the same weights everywhere:

.. math:: y_{f i j} = b_f + \\sum_{c, k, l} W_{f c k l} \\, x_{c, \\, i + k, \\, j + l}

A pool then keeps the largest value of each 2 x 2 pixels, so that a shift by a pixel changes little. This is LeNet's
idea (LeCun et al. 1998), here with one convolution on the digits of 8 x 8 pixels.
"""

import sys
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np

from portnn import Conv2D, Flatten, MaxPool2D, NeuralNetwork

rows = np.loadtxt(Path(sys.argv[0]).resolve().parents[1] / "data" / "digits.csv", delimiter=",", skiprows=1)
order = np.random.default_rng(0).permutation(len(rows))
x, y = rows[order, :-1].reshape(-1, 1, 8, 8) / 16, rows[order, -1].astype(int)  # (rows, channels, height, width)
x_test, y_test, x, y = x[:359], y[:359], x[359:], y[359:]

net = NeuralNetwork(
    (1, 8, 8),
    Conv2D(8, 3, padding="same"),
    "relu",
    MaxPool2D(2),
    Flatten(),
    10,
    output="softmax",
    loss="cross_entropy",
    learning_rate=0.01,
    seed=0,
)
net.fit(x, y, epochs=12)
accuracy = net.evaluate(x_test, y_test, metrics=["accuracy"])["accuracy"]
print(f"accuracy {accuracy:.2f} on {len(x_test)} digits not trained on")
print({name: array.shape for name, array in net.parameters.items()})

# %%
# What the kernels see
# --------------------
# The first row has the eight kernels, the second what each makes of one image: some answer to edges from left to right,
# some to those from top to bottom.

kernels, bias = net.parameters["W1"], net.parameters["b1"]
windows = np.lib.stride_tricks.sliding_window_view(np.pad(x_test[0, 0], 1), (3, 3))
figure, panels = plt.subplots(2, 8, figsize=(9, 2.6), layout="constrained")
figure.set_label("Eight kernels of 3 x 3 weights, and below each the image of a digit as the kernel sees it")
for i, (kernel, seen) in enumerate(zip(*panels, strict=True)):
    kernel.imshow(kernels[i, 0], cmap="RdBu_r", vmin=-1, vmax=1)
    seen.imshow(np.maximum((windows * kernels[i, 0]).sum(axis=(2, 3)) + bias[i], 0), cmap="gray_r")
    for panel in (kernel, seen):
        panel.set(xticks=[], yticks=[])
figure.savefig("convolution.png", dpi=120)

# %%
# :doc:`The guide to images </guides/images>` has the other layers of images, and LeNet on MNIST, which reaches 99.4 %.
