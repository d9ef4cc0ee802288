"""LeNet on MNIST at 99 %: python lenet.py TRAIN_IMAGES TRAIN_LABELS TEST_IMAGES TEST_LABELS [VARIANT] [BACKEND].

VARIANT "modern" (without one): relu, pools of the largest pixel, images shifted by a pixel in training. "deck": sigmoid
and pools of the mean pixel, as the network was first drawn (LeCun et al. 1998). Both: adamw, a schedule, averages.
"""

import sys
import time

import numpy as np

from portnn import AdamW, AveragePool2D, Conv2D, Flatten, MaxPool2D, NeuralNetwork, RandomShift, schedules
from portnn.io.readers import read_idx

EPOCHS, BATCH = 10, 128
if len(sys.argv) < 5:
    raise SystemExit(__doc__)
images, labels, test_images, test_labels = map(read_idx, sys.argv[1:5])
variant = sys.argv[5] if len(sys.argv) > 5 else "modern"
if variant not in ("modern", "deck"):
    raise SystemExit(f"VARIANT: expected modern or deck; got {variant}")
x, x_test = (i[:, None] / np.float32(255) for i in (images, test_images))  # (rows, channels, height, width)

rate = 0.006 if variant == "modern" else 0.01
optimizer = AdamW(schedules.OneCycle(rate, EPOCHS * -(-len(x) // BATCH)), weight_decay=0.02, average=0.998)
activation = "relu" if variant == "modern" else "sigmoid"
pool = MaxPool2D(2) if variant == "modern" else AveragePool2D(2)
net = NeuralNetwork(
    (1, 28, 28),
    *([RandomShift(1)] if variant == "modern" else []),
    Conv2D(6, 5, padding="same"),
    activation,
    pool,
    Conv2D(16, 5),
    activation,
    pool,
    Flatten(),
    120,
    84,
    10,
    activation=activation,
    output="softmax",
    loss="cross_entropy",
    optimizer=optimizer,
    seed=0,
    backend=sys.argv[6] if len(sys.argv) > 6 else None,
)
started = time.perf_counter()
net.fit(x, labels, epochs=EPOCHS, batch_size=BATCH, progress=True)
seconds = time.perf_counter() - started
accuracy = net.averaged().evaluate(x_test, test_labels, metrics=["accuracy"])["accuracy"]
print(f"{variant}: accuracy {accuracy:.4f} on {len(x_test)} test images after {EPOCHS} epochs in {seconds:.0f} s")
if accuracy < (0.99 if variant == "modern" else 0.98):
    raise SystemExit("expected at least 0.99, of the deck's variant 0.98")
