"""portnn train: from a data file to a tested, saved network."""

import os
import sys
import time
from pathlib import Path
from typing import Any

import click

from portnn.backend import get_backend
from portnn.cli.common import (
    DATA,
    FILE,
    OUTPUT,
    backend,
    check_outputs,
    header,
    loss_picture,
    say,
    terminated_as_interrupted,
)
from portnn.cli.scores import guess, show_scores
from portnn.data.task import read_task
from portnn.errors import ArgumentError
from portnn.network import NeuralNetwork
from portnn.nn.activations import ACTIVATIONS
from portnn.nn.initializers import INITIALIZERS
from portnn.nn.losses import LOSSES
from portnn.nn.optimizers import OPTIMIZERS

HOLDOUT = 0.2
EPOCHS, STEPS = 30, 1000
"""At least so many of either: a few epochs of a small table are too few steps (benchmarks/small_data.py)."""


def _widths(context: click.Context, parameter: click.Parameter, value: str) -> list[int]:
    try:
        return [int(width) for width in value.split(",") if width.strip()]
    except ValueError:
        raise click.BadParameter(f"expected widths such as 64,32; got {value!r}") from None


def _names(context: click.Context, parameter: click.Parameter, value: str | None) -> list[str] | None:
    return None if value is None else [name.strip() for name in value.split(",") if name.strip()]


@click.command()
@click.argument("data", type=DATA)
@click.option(
    "--target", required=True, help="Column to predict (name, or number without a header), or a .npy/IDX file."
)
@click.option("--columns", callback=_names, help="Columns to learn from: age,fare,class; default: all but the target.")
@click.option("--drop", callback=_names, help="Columns to leave out: name,ticket.")
@click.option("--hidden", default="100", callback=_widths, show_default=True, help="Widths of hidden layers: 64,32.")
@click.option("--activation", type=click.Choice(list(ACTIVATIONS)), default="relu", show_default=True)
@click.option("--loss", type=click.Choice(list(LOSSES)), help="Default: cross_entropy for classes, mse for numbers.")
@click.option("--optimizer", type=click.Choice(list(OPTIMIZERS)), default="adam", show_default=True)
@click.option("--learning-rate", type=float, help="Default: the optimizer's own.")
@click.option("--initializer", type=click.Choice(["auto", *INITIALIZERS]), default="auto", show_default=True)
@click.option("--epochs", type=click.IntRange(min=1), help=f"Default: {EPOCHS}, or as many as make {STEPS} steps.")
@click.option("--batch-size", type=click.IntRange(min=0), default=32, show_default=True, help="0: the full batch.")
@click.option("--task", type=click.Choice(["classification", "regression"]), help="Default: told from the target.")
@click.option("--test", type=FILE, help="File to test on; otherwise rows are held out of DATA.")
@click.option("--test-target", type=FILE, help="Targets of --test, where --target is a file.")
@click.option(
    "--holdout",
    type=click.FloatRange(0, 1, min_open=True, max_open=True),
    help=f"Share of the rows to hold out, at random; default: {HOLDOUT}, without --test.",
)
@click.option(
    "--standardize/--no-standardize",
    default=None,
    help="Features, and the target of a regression; default: all but images of bytes, scaled to [0, 1].",
)
@header
@backend
@click.option(
    "--dtype", type=click.Choice(["float32", "float64"]), help="Default: float32; float64 with --reproducible."
)
@click.option("--reproducible", is_flag=True, help="Train to the same bits on every array library and machine; slower.")
@click.option("--seed", type=click.IntRange(min=0), default=0, show_default=True)
@click.option("--save", type=OUTPUT, help="Where to write the model.")
@click.option("--checkpoint", type=OUTPUT, help="File to write after each epoch, and on Ctrl-C or SIGTERM.")
@click.option("--resume", is_flag=True, help="Go on from --checkpoint where it is there; the other options as before.")
@click.option("--plot", type=OUTPUT, help="Where to draw the loss; default: beside the model, with matplotlib.")
@click.option("--progress/--no-progress", default=None, help="Default: on a terminal.")
def train(
    data: Path,
    target: str,
    columns: list[str] | None,
    drop: list[str] | None,
    hidden: list[int],
    activation: str,
    loss: str | None,
    optimizer: str,
    learning_rate: float | None,
    initializer: str,
    epochs: int | None,
    batch_size: int,
    task: str | None,
    test: Path | None,
    test_target: Path | None,
    holdout: float | None,
    standardize: bool | None,
    header: bool | None,
    backend: str | None,
    dtype: str | None,
    reproducible: bool,
    seed: int,
    save: Path | None,
    checkpoint: Path | None,
    resume: bool,
    plot: Path | None,
    progress: bool | None,
) -> None:
    """Train a network on DATA and test it on rows that it has not seen.

    DATA: CSV (.gz too), .npz, .npy or IDX; - is a CSV on standard input.
    """
    where = get_backend(backend)
    if test is not None and holdout is not None:
        raise ArgumentError("holdout: --test names the rows to test on already; expected one of the two")
    if checkpoint is None and resume:
        raise ArgumentError("resume: expected --checkpoint with the file to go on from")
    if checkpoint is not None and checkpoint.exists() and not resume:
        raise ArgumentError(f"checkpoint: {checkpoint} exists; --resume goes on from it, or name another file")
    check_outputs({"save": save, "plot": plot, "checkpoint": checkpoint}, [data, target, test, test_target], ["plot"])
    picture = loss_picture(save, plot)
    learnt, rows, left = read_task(
        data,
        target,
        kind=task,
        test=test,
        test_target=test_target,
        header=header,
        holdout=HOLDOUT if holdout is None else holdout,
        seed=seed,
        columns=columns,
        drop=drop or (),
    )
    say(f"{learnt.kind}: {learnt.why}")
    if learnt.encoding:
        say(f"features: {', '.join(map(str, learnt.encoding.columns))}")
    if left:
        say(f"left out, texts that differ in most rows: {', '.join(left)}")
    seen = test is not None and os.path.realpath(test) == os.path.realpath(data)
    if seen:
        say(f"test: {test} is the training file; the figures are of rows that were trained on")
    layers, loss, output = learnt.network(hidden, loss, standardize)
    network = NeuralNetwork(
        *layers,
        loss=loss,
        output=output,
        activation=activation,
        optimizer=optimizer,
        learning_rate=learning_rate,
        initializer=initializer,
        backend=f"{where.name}:{where.device}",
        dtype=dtype,
        arithmetic="reproducible" if reproducible else "fast",
        seed=seed,
    )
    network.metadata = learnt.metadata() | guess(rows.y, bool(learnt.classes))
    steps = -(-len(rows.x) // (batch_size or len(rows.x)))
    epochs = epochs or max(EPOCHS, -(-STEPS // steps))
    started = time.perf_counter()
    done = False
    options: dict[str, Any] = {"epochs": epochs, "batch_size": batch_size or None, "checkpoint": checkpoint}
    try:
        with terminated_as_interrupted() as terminated:
            network.fit(rows.x, rows.y, progress=progress, **options)
        done = True
    except KeyboardInterrupt:
        say(f"interrupted after {network.epoch_count} epochs ({network.step_count} steps); the network is kept")
    seconds = time.perf_counter() - started
    click.echo(f"backend      {network.backend}")
    show_scores(network, learnt.metric, rows.x_test, rows.y_test, " trained on" if seen else " not trained on")
    click.echo(f"time         {seconds:.2f} s for {network.epoch_count} epochs")
    click.echo(f"fingerprint  {network.fingerprint()}")
    if save is not None:
        network.save(save)
        say(f"wrote {save}")
    if not done:
        sys.exit(143 if terminated else 130)
    if picture is not None:
        network.history.plot(picture)
        say(f"wrote {picture}")
