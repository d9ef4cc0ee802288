"""Shared by several commands: options, messages, reading a model with its data, and checks before any work."""

import json
import math
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import click
import numpy as np

from portnn.data.task import features, targets, with_target
from portnn.equivalence.report import PICTURES
from portnn.errors import ArgumentError
from portnn.io import readers
from portnn.io.tables import Table
from portnn.network import NeuralNetwork
from portnn.nn.losses import find
from portnn.plot import pyplot

FILE = click.Path(exists=True, dir_okay=False, path_type=Path)


class _Data(click.Path):
    """A data file; ``-`` is standard input, copied to a temporary file: readers read twice."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        if value != "-" or ctx is None:
            return super().convert(value, param, ctx)
        folder = ctx.with_resource(TemporaryDirectory())
        path = Path(folder, "standard input")
        path.write_bytes(sys.stdin.buffer.read())
        return path


DATA = _Data(exists=True, dir_okay=False, path_type=Path)
OUTPUT = click.Path(dir_okay=False, path_type=Path)

header = click.option(
    "--header/--no-header", default=None, help="Whether a CSV has a header; default: decided by its first rows."
)
encoding = click.option("--encoding", help="Text encoding of a CSV: latin-1, cp1252 ...; default: utf-8.")
backend = click.option("--backend", help="numpy, cupy, torch:cuda:0, jax, auto ...; default: PORTNN_BACKEND or numpy.")


json_flag = click.option("--json", "as_json", is_flag=True, help="Print the results as one JSON object.")


def examples(*lines: str) -> str:
    """Return the examples of a command's help."""
    return "\b\nExamples:\n" + "\n".join(f"  {line}" for line in lines)


_silent: list[bool] = []


@contextmanager
def silence() -> Iterator[None]:
    """Print neither results nor messages: another process does."""
    _silent.append(True)
    try:
        yield
    finally:
        _silent.pop()


def show(results: Mapping[str, Any], lines: Iterable[str], as_json: bool) -> None:
    """Print results as lines, or as one JSON object in which a number that is not finite is null."""
    if _silent:
        return
    if not as_json:
        for line in lines:
            click.echo(line)
        return
    finite = {k: None if isinstance(v, float) and not math.isfinite(v) else v for k, v in results.items()}
    click.echo(json.dumps(finite, indent=2, allow_nan=False))


def on_model(function: Callable[..., Any]) -> Callable[..., Any]:
    """Add MODEL, DATA, --backend, --header and --encoding to a command."""
    for decorate in (encoding, header, backend, click.argument("data", type=DATA), click.argument("model", type=FILE)):
        function = decorate(function)
    return function


def say(message: str) -> None:
    """Print a message to stderr."""
    if not _silent:
        click.echo(message, err=True)


@contextmanager
def terminated_as_interrupted() -> Iterator[list[int]]:
    """Treat SIGTERM as Ctrl-C; yield a list that SIGTERM fills."""
    came: list[int] = []

    def interrupt(number: int, frame: object) -> None:
        came.append(number)
        signal.raise_signal(signal.SIGINT)

    if threading.current_thread() is not threading.main_thread():
        yield came
        return
    previous = signal.signal(signal.SIGTERM, interrupt)
    try:
        yield came
    finally:
        signal.signal(signal.SIGTERM, previous)


def check_outputs(
    outputs: dict[str, Path | None], inputs: Iterable[Path | str | None], pictures: Iterable[str]
) -> None:
    """Refuse outputs that could not be written after the work, or that would overwrite a file that is read.

    ``outputs``: paths by option; ``pictures``: the options whose file is a picture.
    """
    read = {os.path.realpath(path) for path in inputs if path is not None and Path(path).exists()}
    written: dict[str, str] = {}
    for option, path in outputs.items():
        if path is None:
            continue
        resolved = os.path.realpath(path)
        if resolved in read:
            raise ArgumentError(f"{option}: expected another file than those that are read; got {path}")
        if resolved in written:
            raise ArgumentError(f"{option}: expected another file than {written[resolved]}'s; got {path} for both")
        written[resolved] = option
        if not os.access(path.parent, os.W_OK):
            raise ArgumentError(f"{path}: expected a folder that exists and can be written; got {path.parent}")
        if option in pictures:
            if path.suffix not in PICTURES:
                raise ArgumentError(f"{option}: expected a name ending in {', '.join(PICTURES)}; got {path}")
            pyplot()


def loss_picture(save: Path | None, plot: Path | None) -> Path | None:
    """Return the path of the loss picture: the option's, or one beside the model if no file has that name."""
    if plot is not None or save is None:
        return plot
    from importlib.util import find_spec

    if find_spec("matplotlib") is None:
        say("no loss curve: matplotlib is not installed; pip install 'portnn[plot]'")
        return None
    beside = save.with_suffix(".png")
    if beside == save:
        raise ArgumentError(f"save: the picture of the loss would overwrite {save}; give another name, or --plot")
    if beside.exists():
        raise ArgumentError(f"plot: {beside} exists; --plot {beside} draws the loss over it, or name another")
    return beside


def target_name(network: NeuralNetwork) -> str | None:
    """Return the name of a model's target column; None without one, and for several."""
    return network.target_columns[0] if network.target_columns and len(network.target_columns) == 1 else None


def model_target(network: NeuralNetwork, target: str | None) -> str:
    """Return the option's target, or else the model's."""
    target = target or target_name(network)
    if target is None:
        raise ArgumentError("target: the model does not name one; expected --target")
    return target


def of_classes(network: NeuralNetwork) -> bool:
    """Return whether a model is a classifier."""
    return network.classes is not None or find(network.loss).labels


def model_and_data(
    model: Path, backend: str | None, data: Path, header: bool | None, encoding: str | None, target: str | None
) -> tuple[NeuralNetwork, Table, Table | np.ndarray]:
    """Return a model, and the features and target of a table that it takes."""
    network = NeuralNetwork.load(model, backend=backend)
    table, cells, name = with_target(readers.read_table(data, header, encoding), model_target(network, target))
    y = targets(cells, name and (target_name(network) or name), of_classes(network))
    return network, features(table, network.columns, name), y
