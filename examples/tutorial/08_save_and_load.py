"""
Save, load, infer
=================

Training and inference are two programs (slides 21 to 26): one trains and writes the weights to a file, the
other reads them. The file holds the whole network, its optimizer included, so that training can go on from
it. It is a safetensors file: unlike the deck's pickle, reading one never runs code.
"""

import numpy as np

from portnn import NeuralNetwork

x = np.array([[0, 0, 1], [0, 1, 1], [1, 0, 1], [1, 1, 1]])
y = np.array([[0], [1], [1], [0]])

net = NeuralNetwork(
    3, 4, 1, activation="sigmoid", output="sigmoid", loss="sse", optimizer="sgd", learning_rate=1.0, bias=False, seed=0
)
history = net.fit(x, y, epochs=1000, batch_size=None)
net.save("full.safetensors")

# %%
# In another program, or on another array library
# ------------------------------------------------

loaded = NeuralNetwork.load("full.safetensors")
assert loaded.fingerprint() == net.fingerprint()
print(loaded.predict(x).round(2))

# %%
# A network shows its layers in a notebook, and on this page:

loaded

# %%
# ``examples/train.py`` and ``examples/infer.py`` are the deck's two programs. The deck's own weight files are
# read by :func:`portnn.read_pickled_weights`, which admits arrays and nothing else.

ax = history.plot()
ax.figure.set_label("The loss of the training that was saved")
ax.figure.savefig("full.png")
