"""The standalone inference program (slide 26): python infer.py [FILE].

FILE is what train.py wrote, or the deck's own pickled ``weight.txt``, read by a reader that runs no code.
"""

import sys

from portnn import NeuralNetwork, SerializationError, read_pickled_weights

file = sys.argv[1] if len(sys.argv) > 1 else "weights.safetensors"
try:
    net = NeuralNetwork.load(file)
except SerializationError:
    net = NeuralNetwork(3, 4, 1, activation="sigmoid", output="sigmoid", bias=False, dtype="float64")
    net.set_parameters(read_pickled_weights(file))

for row in ([0, 1, 0], [1, 1, 0]):
    print(row, "->", net.predict([row])[0, 0])
