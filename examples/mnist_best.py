"""MNIST at 98.5 %, with dropout, adamw, a schedule and averaged weights: python mnist_best.py FOUR_FILES [BACKEND].

The files are TRAIN_IMAGES TRAIN_LABELS TEST_IMAGES TEST_LABELS.
"""

import sys
import time

import numpy as np

from portnn import AdamW, Dense, Dropout, NeuralNetwork, schedules
from portnn.io.readers import read_idx

EPOCHS, BATCH = 20, 128
if len(sys.argv) < 5:
    raise SystemExit(__doc__)
images, labels, test_images, test_labels = map(read_idx, sys.argv[1:5])
x, x_test = (i.reshape(len(i), -1) / np.float32(255) for i in (images, test_images))

steps = EPOCHS * -(-len(x) // BATCH)
net = NeuralNetwork(
    784,
    Dropout(0.1),
    Dense(512),
    "relu",
    Dropout(0.3),
    Dense(512),
    "relu",
    Dropout(0.3),
    10,
    output="softmax",
    loss="cross_entropy",
    optimizer=AdamW(schedules.OneCycle(0.003, steps), weight_decay=0.02, average=0.998),
    seed=0,
    backend=sys.argv[5] if len(sys.argv) > 5 else None,
)
started = time.perf_counter()
net.fit(x, labels, epochs=EPOCHS, batch_size=BATCH, progress=True)
seconds = time.perf_counter() - started
accuracy = net.averaged().evaluate(x_test, test_labels, metrics=["accuracy"])["accuracy"]
print(f"accuracy {accuracy:.4f} on {len(x_test)} test images after {EPOCHS} epochs in {seconds:.0f} s on {net.backend}")
if accuracy < 0.985:
    raise SystemExit("expected at least 0.985")
