"""The standalone training program (slide 25): python train.py [FILE]."""

import sys
from pathlib import Path

import numpy as np

from portnn import NeuralNetwork

file = Path(sys.argv[1] if len(sys.argv) > 1 else "weights.safetensors")
x = np.array([[0, 0, 1], [0, 1, 1], [1, 0, 1], [1, 1, 1]])
y = np.array([[0], [1], [1], [0]])

net = NeuralNetwork(
    3, 4, 1, activation="sigmoid", output="sigmoid", loss="sse", optimizer="sgd", learning_rate=1.0, bias=False, seed=1
)
history = net.fit(x, y, epochs=1000, batch_size=None)
net.save(file)
history.plot(file.with_suffix(".png"))
print(f"loss {history.loss[-1]:.4f}; wrote {file}")
