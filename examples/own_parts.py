"""Parts of one's own (own/): checked, compared, trained, saved, loaded in another process."""

import sys

import numpy as np
from own.more import InverseTime, mish
from own.parts import Centre, SignSGD, pseudo_huber

from portnn import Dense, NeuralNetwork, available_backends, compare
from portnn.testing import check_gradients

x = np.linspace(-1, 1, 200)[:, None]
y = np.sin(3 * x)
if len(sys.argv) > 1:  # python own_parts.py FILE: in another process
    net = NeuralNetwork.load(sys.argv[1])
else:
    optimizer = SignSGD(InverseTime(0.03, 500), average=0.9)
    net = NeuralNetwork(1, Dense(16), Centre(), mish, Dense(1), loss=pseudo_huber, optimizer=optimizer, seed=0)
    check_gradients(net, x, y)
    others = [info.name for info in available_backends() if info.available and info.name != "numpy"]
    if others:
        print(compare(net, x, y, backends=others).verdict())
    history = net.fit(x, y, epochs=60)
    net.save("own.safetensors")
    print(f"loss {history.loss[0]:.4f} -> {history.loss[-1]:.5f}, with {net.loss} and {net.optimizer}")
print(net.fingerprint()[:16], net.predict([[0.5]]))
