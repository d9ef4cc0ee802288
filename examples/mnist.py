"""MNIST from its four IDX files: python mnist.py TRAIN_IMAGES TRAIN_LABELS TEST_IMAGES TEST_LABELS [BACKEND]."""

import sys
import time

import numpy as np

from portnn import NeuralNetwork
from portnn.io.readers import read_idx

if len(sys.argv) < 5:
    raise SystemExit(__doc__)
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
net.fit(x, labels, epochs=10, batch_size=128, progress=True)
seconds = time.perf_counter() - started
accuracy = net.evaluate(x_test, test_labels, metrics=["accuracy"])["accuracy"]
print(f"accuracy {accuracy:.4f} on {len(x_test)} test images after 10 epochs in {seconds:.1f} s on {net.backend}")
if accuracy < 0.975:
    raise SystemExit("expected at least 0.975")
