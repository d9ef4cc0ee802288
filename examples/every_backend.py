"""The same network on every array library that is installed: one start, and nearly the same end."""

import numpy as np

from portnn import NeuralNetwork, available_backends

rng = np.random.default_rng(0)
x = rng.random((200, 5)).astype(np.float32)
y = np.sin(x.sum(axis=1))

reference = None
for info in available_backends():
    if not info.available:
        print(f"{info.name:<18}not run: {info.reason}")
        continue
    net = NeuralNetwork(5, 32, 1, activation="tanh", backend=info.name, seed=0)
    start = net.fingerprint()[:12]
    net.fit(x, y, epochs=20)
    outputs = net.predict(x)
    reference = outputs if reference is None else reference
    apart = np.abs(outputs - reference).max()
    print(f"{info.name:<18}start {start}, loss {net.evaluate(x, y)['loss']:.6f}, outputs {apart:.1e} from NumPy's")
