"""A layer, an optimizer and a loss of one's own (own/parts.py): trained, saved, loaded in another process."""

import sys

import numpy as np
from own.parts import RMSProp, Scale, huber

from portnn import Dense, NeuralNetwork

x = np.linspace(-1, 1, 200)[:, None]
if len(sys.argv) > 1:  # python own_parts.py FILE: in another process
    net = NeuralNetwork.load(sys.argv[1])
else:
    net = NeuralNetwork(1, Scale(), Dense(16), "tanh", Dense(1), loss=huber, optimizer=RMSProp(0.01), seed=0)
    history = net.fit(x, np.sin(3 * x), epochs=60)
    net.save("own.safetensors")
    print(f"loss {history.loss[0]:.4f} -> {history.loss[-1]:.5f}, with {net.loss} and {net.optimizer}")
print(net.fingerprint()[:16], net.predict([[0.5]]))
