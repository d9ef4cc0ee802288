"""portnn train: from a data file to a tested, saved network."""

import os
import sys
import time
from pathlib import Path

import click
from click.core import ParameterSource

from portnn.backend import get_backend
from portnn.cli.common import (
    DATA,
    FILE,
    OUTPUT,
    backend,
    check_outputs,
    encoding,
    examples,
    header,
    json_flag,
    loss_picture,
    model_target,
    of_classes,
    say,
    show,
    terminated_as_interrupted,
)
from portnn.cli.ranks import Together, device_of_rank, silence_others
from portnn.cli.scores import best_epoch, majority_baseline, tested
from portnn.data.labels import classes_of, labels_of
from portnn.data.task import read_task
from portnn.defaults import (
    MAX_EPOCHS_WITH_VALIDATION,
    MIN_EPOCHS,
    MIN_STEPS,
    MIN_VALIDATION_ROWS,
    PATIENCE,
    VALIDATION,
    default_optimizer,
    fit_options,
    lenet,
)
from portnn.distributed import beginning_together, communicator_of, watched
from portnn.errors import ArgumentError
from portnn.network import NeuralNetwork
from portnn.nn.activations import ACTIVATIONS
from portnn.nn.initializers import INITIALIZERS
from portnn.nn.layer import Layer
from portnn.nn.losses import LOSSES
from portnn.optim.optimizers import OPTIMIZERS

HOLDOUT = 0.2


def _widths(context: click.Context, parameter: click.Parameter, value: str) -> list[int]:
    try:
        return [int(width) for width in value.split(",") if width.strip()]
    except ValueError:
        raise click.BadParameter(f"expected widths such as 64,32; got {value!r}") from None


def _names(context: click.Context, parameter: click.Parameter, value: str | None) -> list[str] | None:
    return None if value is None else [name.strip() for name in value.split(",") if name.strip()]


@click.command(
    cls=Together,
    epilog=examples(
        "portnn train flowers.csv --target kind --save flowers.safetensors",
        "portnn train flowers.csv --target kind --hidden 64,32 --drop id --json",
        "portnn train more.csv --continue flowers.safetensors --save better.safetensors",
        "portnn train flowers.csv --target kind --checkpoint run.ckpt --resume",
        "portnn train images-idx3-ubyte.gz --target labels-idx1-ubyte.gz --hidden 256 --batch-size 128",
        "portnn train images-idx3-ubyte.gz --target labels-idx1-ubyte.gz --model lenet",
    ),
)
@click.argument("data", type=DATA)
@click.option("--target", help="Column to predict (name; -1: the last; number without a header), or a .npy/IDX file.")
@click.option(
    "--continue",
    "continued",
    type=FILE,
    help="Model to train further, with its layers, loss, columns and classes.",
)
@click.option("--columns", callback=_names, help="Columns to learn from: age,fare,class; default: all but the target.")
@click.option("--drop", callback=_names, help="Columns to leave out: name,ticket.")
@click.option("--hidden", default="100", callback=_widths, show_default=True, help="Widths of hidden layers: 64,32.")
@click.option(
    "--model",
    type=click.Choice(["dense", "lenet"]),
    default="dense",
    show_default=True,
    help="lenet: convolutions and pools, for square images; without --hidden.",
)
@click.option("--activation", type=click.Choice(list(ACTIVATIONS)), default="relu", show_default=True)
@click.option("--loss", type=click.Choice(list(LOSSES)), help="Default: cross_entropy for classes, mse for numbers.")
@click.option(
    "--optimizer",
    type=click.Choice(list(OPTIMIZERS)),
    help="Default: adamw, with more weight decay for fewer rows; with --continue the model's.",
)
@click.option("--learning-rate", type=float, help="Default: the optimizer's own.")
@click.option("--initializer", type=click.Choice(["auto", *INITIALIZERS]), default="auto", show_default=True)
@click.option(
    "--epochs",
    type=click.IntRange(min=1),
    help=f"Default: {MIN_EPOCHS}, with a validation at most {MAX_EPOCHS_WITH_VALIDATION}, or as many as make "
    f"{MIN_STEPS} steps.",
)
@click.option("--batch-size", type=click.IntRange(min=0), default=32, show_default=True, help="0: the full batch.")
@click.option(
    "--task", type=click.Choice(["classification", "regression"]), help="Default: decided by the target's values."
)
@click.option("--test", type=FILE, help="File to test on; otherwise rows are held out of DATA.")
@click.option("--test-target", type=FILE, help="File with the targets of --test, if --target is a file.")
@click.option(
    "--holdout",
    type=click.FloatRange(0, 1, min_open=True, max_open=True),
    help=f"Share of the rows to hold out, at random; default: {HOLDOUT}, without --test.",
)
@click.option(
    "--validation",
    type=click.FloatRange(0, 1, max_open=True),
    help="Share of the training rows held out for early stopping; 0: none. "
    f"Default: {VALIDATION}, if that is at least {MIN_VALIDATION_ROWS} rows.",
)
@click.option(
    "--patience",
    type=click.IntRange(min=1),
    default=PATIENCE,
    show_default=True,
    help="Number of epochs without a smaller validation loss after which the training ends.",
)
@click.option(
    "--standardize/--no-standardize",
    default=None,
    help="Standardise features and a regression's target; default: yes, but scale images of bytes to [0, 1].",
)
@header
@encoding
@backend
@click.option(
    "--dtype", type=click.Choice(["float32", "float64"]), help="Default: float32; float64 with --reproducible."
)
@click.option("--reproducible", is_flag=True, help="Train to the same bits on every array library and machine; slower.")
@click.option(
    "--distributed",
    type=click.Choice(["mpi", "nccl"]),
    help="Train in the processes that mpiexec or srun has started: mpiexec -n 4 portnn train ...; nccl: one CUDA GPU "
    "for each.",
)
@click.option("--seed", type=click.IntRange(min=0), default=0, show_default=True)
@click.option("--save", type=OUTPUT, help="Where to write the model.")
@click.option("--checkpoint", type=OUTPUT, help="File to write after each epoch, and on Ctrl-C or SIGTERM.")
@click.option(
    "--resume", is_flag=True, help="Resume from --checkpoint if the file exists; the other options must be the same."
)
@click.option("--plot", type=OUTPUT, help="Where to draw the loss; default: beside the model, with matplotlib.")
@click.option("--progress/--no-progress", default=None, help="Default: on a terminal.")
@json_flag
def train(
    data: Path,
    target: str | None,
    continued: Path | None,
    columns: list[str] | None,
    drop: list[str] | None,
    hidden: list[int],
    model: str,
    activation: str,
    loss: str | None,
    optimizer: str | None,
    learning_rate: float | None,
    initializer: str,
    epochs: int | None,
    batch_size: int,
    task: str | None,
    test: Path | None,
    test_target: Path | None,
    holdout: float | None,
    validation: float | None,
    patience: int,
    standardize: bool | None,
    header: bool | None,
    encoding: str | None,
    backend: str | None,
    dtype: str | None,
    reproducible: bool,
    distributed: str | None,
    seed: int,
    save: Path | None,
    checkpoint: Path | None,
    resume: bool,
    plot: Path | None,
    progress: bool | None,
    as_json: bool,
) -> None:
    """Train a network on DATA and test it on rows that it has not seen.

    DATA: CSV (.gz too), .npz, .npy or IDX; - is a CSV on standard input.
    """
    comm = communicator_of(distributed)
    if comm is not None and comm.rank:
        silence_others(click.get_current_context())
        save = plot = None
    with watched(comm), beginning_together(comm):
        _refuse_contradictions(continued, target, test, holdout, checkpoint, resume)
        chosen = get_backend(backend)
        check_outputs(
            {"save": save, "plot": plot, "checkpoint": checkpoint}, [data, target, test, test_target], ["plot"]
        )
        picture = loss_picture(save, plot)
        home = f"{chosen.name}:{chosen.device if ':' in (backend or '') else device_of_rank(comm, chosen)}"
        previous = None if continued is None else NeuralNetwork.load(continued, backend=home)
        column = target if previous is None else model_target(previous, target)
        assert column is not None
        task_kind = task if previous is None else "classification" if of_classes(previous) else "regression"
        inferred, rows = read_task(
            data,
            column,
            kind=task_kind,
            test=test,
            test_target=test_target,
            header=header,
            encoding=encoding,
            holdout=HOLDOUT if holdout is None else holdout,
            seed=seed if previous is None else previous.seed,
            columns=tuple(columns or ()) or None if previous is None else previous.columns,
            drop=drop or (),
            known=previous is not None,
        )
        say(f"{inferred.kind}: {inferred.reason if previous is None else 'as the model'}")
        test_is_data = test is not None and os.path.realpath(test) == os.path.realpath(data)
        if test_is_data:
            say(f"test: {test} is the training file; the scores are those of the training rows")
        if previous is None:
            inside: list[int | str | Layer] = [*hidden]
            if model == "lenet":
                first, *_ = inside = lenet(len(rows.x.columns), activation)
                say(f"lenet: each row is taken as {first}, (channels, height, width)")
            layers, loss, output = inferred.network(inside, loss, standardize)
            network = NeuralNetwork(
                *layers,
                loss=loss,
                output=output,
                activation=activation,
                optimizer=optimizer or default_optimizer(rows.x.rows),
                learning_rate=learning_rate,
                initializer=initializer,
                backend=home,
                dtype=dtype,
                arithmetic="reproducible" if reproducible else "fast",
                seed=seed,
            )
        else:
            network = previous
            if optimizer is not None:
                network.optimizer = optimizer
            if learning_rate is not None:
                network.learning_rate = learning_rate
        labels = labels_of(rows.y)
        classes = network.classes or (None if labels is None or previous else classes_of(labels, "y"))
        network.metadata |= majority_baseline(classes, rows.y)
        options = fit_options(
            rows.x.rows, batch_size=batch_size, epochs=epochs, validation=validation, patience=patience
        )
        if share := options.get("validation"):
            say(f"validation: {share:g} of the rows; the epoch with their least loss is kept (--patience {patience})")
    started = time.perf_counter()
    done = False
    try:
        with terminated_as_interrupted() as terminated:
            network.fit(rows.x, rows.y, checkpoint=checkpoint, progress=progress, distributed=comm, **options)
        done = True
    except KeyboardInterrupt:
        best_row = best_epoch(network.history)
        kept_state = "the network" if best_row is None else f"epoch {best_row}, of the least loss of the validation,"
        say(f"interrupted after {network.epoch_count} epochs ({network.step_count} steps); {kept_state} is kept")
    fit = {"seconds": time.perf_counter() - started, "epochs": len(network.history.loss), "finished": done}
    trained_on = True if test_is_data else False if previous is None else None
    results, lines = tested(network, "accuracy" if inferred.classes else "r2", rows, trained_on, fit)
    show(results, lines, as_json)
    if save is not None:
        network.save(save)
        say(f"wrote {save}")
    if not done:
        sys.exit(143 if terminated else 130)
    if picture is not None:
        network.history.plot(picture)
        say(f"wrote {picture}")


def _refuse_contradictions(
    continued: Path | None,
    target: str | None,
    test: Path | None,
    holdout: float | None,
    checkpoint: Path | None,
    resume: bool,
) -> None:
    """Refuse options that contradict each other, or that lack another option."""
    fresh = {
        "hidden",
        "model",
        "activation",
        "loss",
        "initializer",
        "task",
        "columns",
        "drop",
        "standardize",
        "dtype",
        "seed",
    }
    chosen = {name for name in {*fresh, "reproducible"} if _is_given(name)}
    if continued is not None and chosen:
        raise ArgumentError(f"{min(chosen)}: --continue takes it from {continued}; expected one of the two options")
    if _is_given("model") and _is_given("hidden"):
        raise ArgumentError("hidden: --model names the hidden layers; expected one of the two options")
    if continued is None and target is None:
        raise ArgumentError("target: expected --target with the column to predict, or --continue with a model")
    if test is not None and holdout is not None:
        raise ArgumentError("holdout: --test names the rows to test on already; expected one of the two")
    if checkpoint is None and resume:
        raise ArgumentError("resume: expected --checkpoint with the file to go on from")
    if checkpoint is not None and checkpoint.exists() and not resume:
        raise ArgumentError(f"checkpoint: {checkpoint} exists; --resume goes on from it, or name another file")


def _is_given(name: str) -> bool:
    """Return whether the user gave an option."""
    return click.get_current_context().get_parameter_source(name) is ParameterSource.COMMANDLINE
