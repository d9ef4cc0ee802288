"""
Handwritten digits
==================

Real data: 1,797 images of 8 x 8 pixels. A fifth of them is held out, since a network is judged by what it has
not seen. The output is the softmax, one probability for each digit, and the loss the cross-entropy.
"""

import sys
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np

from portnn import NeuralNetwork, Standardize

rows = np.loadtxt(Path(sys.argv[0]).resolve().parents[1] / "data" / "digits.csv", delimiter=",", skiprows=1)
order = np.random.default_rng(0).permutation(len(rows))
x, y = rows[order, :-1], rows[order, -1].astype(int)
x_test, y_test, x, y = x[:359], y[:359], x[359:], y[359:]

# %%
# ``Standardize`` learns the mean and the deviation of each pixel from the images to train on. ``fit`` takes
# batches of 32 images in random order; an epoch is one pass over all of them.

net = NeuralNetwork(64, Standardize(), 128, 10, output="softmax", loss="cross_entropy", seed=0)
history = net.fit(x, y, epochs=30, validation=(x_test, y_test), metrics=["accuracy"])
print(f"accuracy {history.metrics['validation_accuracy'][-1]:.2f} on {len(x_test)} digits not trained on")
ax = history.plot(log=True)
ax.figure.set_label("Loss and accuracy over 30 epochs, of the images trained on and of those held out")
ax.figure.savefig("digits.png")

# %%
# Where it errs
# -------------

predicted = net.predict_classes(x_test)
wrong = np.flatnonzero(predicted != y_test)
print(f"{len(wrong)} of {len(x_test)} wrong")
figure, panels = plt.subplots(1, 6, figsize=(9, 2), layout="constrained")
figure.set_label("Six images that the network takes for other digits")
for panel, i in zip(panels, wrong, strict=False):
    panel.imshow(x_test[i].reshape(8, 8), cmap="gray_r")
    panel.set(title=f"{y_test[i]}, taken for {predicted[i]}", xticks=[], yticks=[])
    panel.title.set_fontsize(9)
