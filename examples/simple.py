"""The deck's example (slides 13 to 16): a network 3:4:1 learns the exclusive or of its first two inputs."""

import numpy as np

from portnn import NeuralNetwork

x = np.array([[0, 0, 1], [0, 1, 1], [1, 0, 1], [1, 1, 1]])
y = np.array([[0], [1], [1], [0]])

net = NeuralNetwork(
    3,
    4,
    1,
    activation="sigmoid",
    output="sigmoid",
    loss="sse",
    optimizer="sgd",
    learning_rate=1.0,
    bias=False,
    initializer="uniform",
    dtype="float64",
    seed=0,
)
history = net.fit(x, y, epochs=1000, batch_size=None)

print(net.predict(x))
print(f"loss {history.loss[0]:.4f} -> {history.loss[-1]:.4f}")
history.plot("simple.png")
