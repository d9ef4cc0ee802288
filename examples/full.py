"""The full version (slides 21 to 24): train, save, load into another network, infer."""

import numpy as np

from portnn import NeuralNetwork

x = np.array([[0, 0, 1], [0, 1, 1], [1, 0, 1], [1, 1, 1]])
y = np.array([[0], [1], [1], [0]])

net = NeuralNetwork(
    3, 4, 1, activation="sigmoid", output="sigmoid", loss="sse", optimizer="sgd", learning_rate=1.0, bias=False, seed=0
)
history = net.fit(x, y, epochs=1000, batch_size=None)
net.save("full.safetensors")
history.plot("full.png")

loaded = NeuralNetwork.load("full.safetensors")
assert loaded.fingerprint() == net.fingerprint()
print(loaded.summary())
print(loaded.predict(x))
