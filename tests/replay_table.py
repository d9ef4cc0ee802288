"""Networks recorded and as themselves have the same bits: every layer with every activation, loss, optimizer and dtype.

    python tests/replay_table.py [STRIDE] [--backend NAME]
    python tests/replay_table.py --drawn COUNT [--times 37] [--backend NAME]

The whole table takes five to ten minutes; with a stride every so manieth combination. ``--drawn``: chains of layers
drawn at random, with everything that an optimizer may have beside its rule. ``--times``: so many times the widths and
rows, where libraries take other kernels. tests/jit/test_compiled.py has a covering set.
"""

import argparse
import sys
from collections.abc import Iterator
from dataclasses import replace
from itertools import islice, product
from pathlib import Path

import numpy as np
import registered
from tqdm import tqdm

from portnn import Dense, Flatten, NeuralNetwork, PreprocessingLayer, Residual
from portnn.jit import targets
from portnn.nn.layer import as_preprocessing
from portnn.nn.losses import LOSSES

ROWS = (7, 7, 4, 4, 7, 4)
sys.path.append(str(Path(__file__).parent / "jit"))
import test_compiled  # noqa: E402 (the tests are no package)

RNG = np.random.default_rng(0)
TARGETS = np.eye(3)[RNG.integers(0, 3, 4000)]
LAYERS = [name for name in registered.LAYERS if name != "Unstandardize"]  # it is the last one, and without activation


def network(layer: str, activation: str, loss: str, optimizer: str, dtype: str, backend: str) -> NeuralNetwork:
    made, features = registered.LAYERS[layer]
    rest = (Flatten(), Dense(5), activation, 3) if layer != "Dense" else (activation, 3)
    return NeuralNetwork(
        features,
        *registered.before(made, features),
        made,
        *rest,
        loss=loss,
        output=LOSSES[loss].pair or "tanh",
        optimizer=registered.OPTIMIZERS[optimizer][0],
        dtype=dtype,
        seed=0,
        backend=backend,
    )


def table(stride: int, backend: str) -> Iterator[tuple[str, list[NeuralNetwork], np.ndarray]]:
    """Yield (name, two equal networks, x) for each so manieth combination."""
    kinds = (LAYERS, registered.ACTIVATIONS, registered.LOSSES, registered.OPTIMIZERS, ("float32", "float64"))
    for case in islice(product(*kinds), 0, None, stride):
        layer, features = registered.LAYERS[case[0]]
        yield (
            ", ".join(case),
            [network(*case, backend) for _ in range(2)],
            as_preprocessing(layer).sample_input(RNG, (40, *features)),
        )


def drawn(count: int, backend: str, times: int) -> Iterator[tuple[str, list[NeuralNetwork], np.ndarray]]:
    """Yield (name, two equal networks, x) of chains of layers, each drawn by a seed of its own."""
    others = PreprocessingLayer | Residual | Dense
    of_rows = [layer for layer, features in registered.LAYERS.values() if len(features) == 1]
    plain = [Flatten(), *(layer for layer in of_rows if not isinstance(layer, others))]
    for seed in range(count):
        rng = np.random.default_rng(seed)

        def some(choices: object, rng: np.random.Generator = rng) -> object:
            every = list(choices)
            return every[rng.integers(len(every))]

        def layer(nested: bool, rng: np.random.Generator = rng) -> object:
            kinds = [lambda: some(registered.ACTIVATIONS), lambda: test_compiled.Shift(), lambda: some(plain)]
            kinds += [lambda: int(rng.integers(1, 8 * times + 1))] if not nested else []
            kinds += [lambda: Residual(tuple(layer(True) for _ in range(rng.integers(1, 4))))] if not nested else []
            return some(kinds)()

        hidden = [layer(False) for _ in range(rng.integers(1, 7))]
        loss = some(registered.LOSSES)
        options = {name: 0.1 for name in ("weight_decay", "l1", "l2", "average") if rng.random() < 0.3}
        clip = some([{}, {"clip_norm": 0.1}, {"clip_value": 0.01}])
        chosen = replace(some(registered.OPTIMIZERS.values())[0], **options, **clip)
        made = {"loss": loss, "output": LOSSES[loss].pair or "tanh", "optimizer": chosen, "seed": seed}
        made |= {"dtype": some(["float32", "float64"]), "backend": backend}
        nets = [NeuralNetwork(5 * times, 4 * times, *hidden, 3, **made) for _ in range(2)]
        yield f"drawn by {seed}: {hidden}, {loss}, {chosen}", nets, rng.standard_normal((40 * times, 5 * times))


def seen(net: NeuralNetwork, x: np.ndarray, times: int) -> list[object]:
    found: list[object] = []
    every = [*(rows * times for rows in ROWS), *[net._runtime._min_batch_size] * 3]  # one row where a layer allows it
    for i, rows in enumerate(every):
        found.append(np.asarray(net.step(x[i : i + rows], TARGETS[i : i + rows])).tobytes())
        found.append(net.fingerprint())
    return [*found, *(np.asarray(net.predict(x[:rows])).tobytes() for rows in (*every, 1, 1, 1))]


def main(arguments: list[str]) -> int:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("stride", type=int, nargs="?", default=1)
    options.add_argument("--drawn", type=int, metavar="COUNT")
    options.add_argument("--times", type=int, default=1)
    options.add_argument("--backend", default="numpy")
    asked = options.parse_args(arguments)
    for target in (targets.NumPyTarget, targets.TorchTarget):
        target.memory = test_compiled.poisoned(target.memory)
    cases = drawn(asked.drawn, asked.backend, asked.times) if asked.drawn else table(asked.stride, asked.backend)
    wrong = done = 0
    for name, nets, x in tqdm(cases, unit="network"):
        for compiled in (*nets[1]._runtime._steps, nets[1]._runtime._forward):
            compiled._lock.acquire()  # in use, as if by another thread: computed as itself
        done += 1
        same = seen(nets[0], x, asked.times) == seen(nets[1], x, asked.times)
        recorded = [program for program in nets[0]._runtime._steps[1]._programs.values() if program]
        if not same or len(recorded) != 3:
            wrong += 1
            tqdm.write(f"{name}: {'not recorded' if same else 'other bits'}")
    print(f"{done - wrong} of {done} networks have the bits of themselves")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
