"""
MNIST
=====

70,000 images of 28 x 28 pixels, in four files. The same network as for the small digits, with 784 inputs,
reaches 97.8 % after ten epochs, which take some seconds on two cores::

    python examples/tutorial/10_mnist.py train-images-idx3-ubyte.gz train-labels-idx1-ubyte.gz \\\\
        t10k-images-idx3-ubyte.gz t10k-labels-idx1-ubyte.gz

    accuracy 0.9784 on 10000 test images after 10 epochs in 3.8 s on numpy:cpu

A fifth argument is the backend. The picture is what the program draws:

.. image:: /mnist.png
   :alt: The loss over ten epochs, and six of the images that the network takes for other digits

The site is built without these files; portnn's CI runs the program with them.
"""

# sphinx_gallery_thumbnail_path = "mnist.png"

import sys
import time

import matplotlib.pyplot as plt
import numpy as np

from portnn import NeuralNetwork
from portnn.io.readers import read_idx

FILES = "TRAIN_IMAGES TRAIN_LABELS TEST_IMAGES TEST_LABELS"
if len(sys.argv) < 5:
    raise SystemExit(f"usage: python 10_mnist.py {FILES} [BACKEND]")
images, labels, test_images, test_labels = map(read_idx, sys.argv[1:5])
x, x_test = (i.reshape(len(i), -1) / np.float32(255) for i in (images, test_images))

net = NeuralNetwork(
    784,
    256,
    10,
    output="softmax",
    loss="cross_entropy",
    seed=0,
    backend=sys.argv[5] if len(sys.argv) > 5 else None,
)
started = time.perf_counter()
history = net.fit(x, labels, epochs=10, batch_size=128, progress=True)
seconds = time.perf_counter() - started
accuracy = net.evaluate(x_test, test_labels, metrics=["accuracy"])["accuracy"]
print(f"accuracy {accuracy:.4f} on {len(x_test)} test images after 10 epochs in {seconds:.1f} s on {net.backend}")
if accuracy < 0.975:
    raise SystemExit("expected at least 0.975")

# %%
# What it takes for something else
# --------------------------------

predicted = net.predict_classes(x_test)
wrong = np.flatnonzero(predicted != test_labels)
figure, panels = plt.subplot_mosaic([["loss"] * 3, [0, 1, 2], [3, 4, 5]], figsize=(6.5, 6.5), layout="constrained")
history.plot(ax=panels.pop("loss"), metric="loss")
for panel, i in zip(panels.values(), wrong, strict=False):
    panel.imshow(test_images[i], cmap="gray_r")
    panel.set(title=f"{test_labels[i]}, taken for {predicted[i]}", xticks=[], yticks=[])
figure.savefig("mnist.png", dpi=90)
