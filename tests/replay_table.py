"""Every layer with every activation, loss, optimizer and dtype, recorded and as itself: the same bits.

    python tests/replay_table.py [STRIDE]

Takes a quarter of an hour; with a stride every so manieth combination. tests/test_replay.py has a covering set in CI.
"""

import sys
from itertools import islice, product

import numpy as np
import registered
from tqdm import tqdm

from portnn import Dense, Flatten, NeuralNetwork
from portnn.nn.losses import LOSSES

ROWS = (7, 7, 4, 4, 7, 4)
RNG = np.random.default_rng(0)
TARGETS = np.eye(3)[RNG.integers(0, 3, 40)]
LAYERS = [name for name in registered.LAYERS if name != "Unstandardize"]  # it is the last one, and without activation


def network(layer: str, activation: str, loss: str, optimizer: str, dtype: str) -> NeuralNetwork:
    made, features = registered.LAYERS[layer]
    rest = (Flatten(), Dense(5), activation, 3) if layer != "Dense" else (activation, 3)
    before = () if made.codes or made.fitted_to else (Dense(features[0]),) if len(features) == 1 else ()
    return NeuralNetwork(
        features,
        *before,
        made,
        *rest,
        loss=loss,
        output=LOSSES[loss].pair or "tanh",
        optimizer=registered.OPTIMIZERS[optimizer][0],
        dtype=dtype,
        seed=0,
        backend="numpy",
    )


def seen(net: NeuralNetwork, x: np.ndarray) -> list[object]:
    found: list[object] = []
    for i, rows in enumerate(ROWS):
        found.append(np.asarray(net.step(x[i : i + rows], TARGETS[i : i + rows])).tobytes())
        found.append(net.fingerprint())
    return [*found, *(np.asarray(net.predict(x[:rows])).tobytes() for rows in ROWS)]


def main(stride: int) -> int:
    kinds = (LAYERS, registered.ACTIVATIONS, registered.LOSSES, registered.OPTIMIZERS, ("float32", "float64"))
    every = list(islice(product(*kinds), 0, None, stride))
    wrong = 0
    for case in tqdm(every, unit="network"):
        nets = [network(*case) for _ in range(2)]
        layer, features = registered.LAYERS[case[0]]
        x = RNG.integers(0, 7, (40, *features)) if layer.codes else RNG.standard_normal((40, *features))
        for compiled in (*nets[1]._runtime._steps, nets[1]._runtime._forward):
            compiled._lock.acquire()  # in use, as if by another thread: computed as itself
        same = seen(nets[0], x) == seen(nets[1], x)
        recorded = [program for program in nets[0]._runtime._steps[1]._programs.values() if program]
        if not same or len(recorded) != 2:
            wrong += 1
            tqdm.write(f"{', '.join(case)}: {'not recorded' if same else 'other bits'}")
    print(f"{len(every) - wrong} of {len(every)} networks have the bits of themselves")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main(int(sys.argv[1]) if len(sys.argv) > 1 else 1))
