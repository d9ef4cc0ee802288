"""The command line: train, predict, evaluate, backends. Results go to stdout, messages to stderr."""

import os
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click
import numpy as np

from portnn import __version__
from portnn.backend import Backend, available_backends, get_backend
from portnn.data import readers
from portnn.data.files import write_atomically
from portnn.data.tables import Table, class_codes, class_names, looks_like_classes
from portnn.equivalence.compare import compare
from portnn.equivalence.networks import built_in, sample
from portnn.equivalence.report import PICTURES, save_reports
from portnn.errors import ArgumentError, DataError, PortnnError
from portnn.network import NeuralNetwork
from portnn.nn import random
from portnn.nn.activations import ACTIVATIONS
from portnn.nn.initializers import INITIALIZERS
from portnn.nn.layers import Standardize, Unstandardize
from portnn.nn.losses import LOSSES, find
from portnn.nn.optimizers import OPTIMIZERS
from portnn.plot import pyplot

_FILE = click.Path(exists=True, dir_okay=False, path_type=Path)


def _say(message: str) -> None:
    click.echo(message, err=True)


class _Group(click.Group):
    """Turns portnn's errors into one line and exit code 2; Ctrl-C into 130."""

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except (PortnnError, OSError) as error:
            _say(f"Error: {error}")
            sys.exit(2)
        except KeyboardInterrupt:
            _say("Interrupted")
            sys.exit(130)


@click.group(cls=_Group, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="portnn")
def main() -> None:
    """Train and run neural networks on NumPy, CuPy, PyTorch or JAX arrays."""


def _widths(context: click.Context, parameter: click.Parameter, value: str) -> list[int]:
    try:
        return [int(width) for width in value.split(",") if width.strip()]
    except ValueError:
        raise click.BadParameter(f"expected widths such as 64,32; got {value!r}") from None


def _target(table: Table, target: str, rows: int) -> tuple[np.ndarray, str | None]:
    """Return the target's values, and the column they come from (None: a file of their own)."""
    if target in table.columns or not Path(target).is_file():
        return table.target(target), table.column(target)
    values = readers.read_array(target)
    if values.shape != (rows,):
        raise DataError(f"{target}: expected one value for each of {rows} rows; got shape {values.shape}")
    return values, None


@main.command()
@click.argument("data", type=_FILE)
@click.option(
    "--target",
    required=True,
    help="Column to predict (name, or number without a header), or a .npy/IDX file.",
)
@click.option("--hidden", default="100", callback=_widths, show_default=True, help="Widths of hidden layers: 64,32.")
@click.option("--activation", type=click.Choice(list(ACTIVATIONS)), default="relu", show_default=True)
@click.option("--loss", type=click.Choice(list(LOSSES)), help="Default: cross_entropy for classes, mse for numbers.")
@click.option("--optimizer", type=click.Choice(list(OPTIMIZERS)), default="adam", show_default=True)
@click.option("--learning-rate", type=float, help="Default: the optimizer's own.")
@click.option("--initializer", type=click.Choice(["auto", *INITIALIZERS]), default="auto", show_default=True)
@click.option("--epochs", type=click.IntRange(min=1), default=30, show_default=True)
@click.option("--batch-size", type=click.IntRange(min=0), default=32, show_default=True, help="0: the full batch.")
@click.option("--task", type=click.Choice(["classification", "regression"]), help="Default: told from the target.")
@click.option("--test", type=_FILE, help="File to test on; otherwise rows are held out of DATA.")
@click.option("--test-target", type=_FILE, help="Targets of --test, where --target is a file.")
@click.option(
    "--holdout",
    type=click.FloatRange(0, 1, min_open=True, max_open=True),
    default=0.2,
    show_default=True,
    help="Share of the rows to hold out, at random.",
)
@click.option(
    "--standardize/--no-standardize",
    default=None,
    help="Features, and the target of a regression; default: all but images of bytes, scaled to [0, 1].",
)
@click.option(
    "--header/--no-header", default=None, help="Whether a CSV has a header; default: told from its first row."
)
@click.option("--backend", help="numpy, cupy, torch:cuda:0, jax, auto ...; default: PORTNN_BACKEND or numpy.")
@click.option("--dtype", type=click.Choice(["float32", "float64"]), default="float32", show_default=True)
@click.option("--seed", type=click.IntRange(min=0), default=0, show_default=True)
@click.option("--save", type=click.Path(dir_okay=False, path_type=Path), help="Where to write the model.")
@click.option(
    "--plot",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Where to draw the loss; default: beside the model, if matplotlib is installed.",
)
@click.option("--progress/--no-progress", default=None, help="Default: on a terminal.")
def train(data: Path, target: str, **options: Any) -> None:
    """Train a network on DATA (CSV, .npz, .npy, IDX) and test it on rows that it has not seen."""
    backend = get_backend(options["backend"])
    _check_writable(options["save"], options["plot"])
    task = _task(data, target, options)
    network = _network(task, backend, options)
    network.metadata = {"columns": task.names, "target": task.column, "classes": task.classes, "task": task.kind}
    started = time.perf_counter()
    history = None
    try:
        history = network.fit(
            task.x,
            task.y,
            epochs=options["epochs"],
            batch_size=options["batch_size"] or None,
            progress=options["progress"],
        )
    except KeyboardInterrupt:
        _say(f"interrupted after {network.epoch_count} epochs ({network.step_count} steps); the network is kept")
    seconds = time.perf_counter() - started
    report = network.evaluate(task.x_test, task.y_test, metrics=[task.metric])
    click.echo(f"backend      {network.backend}")
    click.echo(f"{task.metric:<12} {report[task.metric]:.4f} on {len(task.x_test)} rows not trained on")
    click.echo(f"loss         {report['loss']:.6g}")
    click.echo(f"time         {seconds:.2f} s for {network.epoch_count} epochs")
    click.echo(f"fingerprint  {network.fingerprint()}")
    if options["save"] is not None:
        network.save(options["save"])
        _say(f"wrote {options['save']}")
    if history is None:
        sys.exit(130)
    _draw(history, options["plot"], options["save"])


def _check_writable(model: Path | None, picture: Path | None) -> None:
    """Refuse before the training what would be lost after it."""
    for path in filter(None, (model, picture)):
        if not os.access(path.parent, os.W_OK):
            raise ArgumentError(f"{path}: expected a folder that exists and can be written; got {path.parent}")
    if picture is not None:
        pyplot()


@dataclass(frozen=True)
class _Task:
    """What is to be learnt from a data file."""

    kind: str
    classes: list[str]
    """Names of the classes; empty for a regression."""
    names: list[str]
    """Columns of the features."""
    column: str | None
    """Column of the target, if it is one."""
    images: bool
    """Whether the features are bytes, scaled to [0, 1]."""
    x: np.ndarray
    y: np.ndarray
    x_test: np.ndarray
    y_test: np.ndarray

    @property
    def metric(self) -> str:
        return "accuracy" if self.classes else "r2"


def _task(data: Path, target: str, options: dict[str, Any]) -> _Task:
    """Read the data, tell classification from regression, and hold rows out."""
    table = readers.read_table(data, options["header"])
    rows = len(next(iter(table.columns.values())))
    values, column = _target(table, target, rows)
    names = [name for name in table.columns if name != column]
    if not names:
        raise DataError(f"{data}: expected columns beside the target; got {column!r} alone")
    x = table.features(names)
    inferred, why = looks_like_classes(values)
    kind = options["task"] or ("classification" if inferred else "regression")
    _say(f"{kind}: the target has {why}" if options["task"] is None else f"{kind}, as asked")
    classes = class_names(values) if kind == "classification" else []
    if kind == "classification" and len(classes) < 2:
        raise DataError(f"{target}: expected at least two classes; got {classes}")
    if kind == "regression" and values.dtype.kind == "U":
        raise DataError(f"{data}, column {column!r}: expected numbers for a regression; got text")

    def encoded(values: np.ndarray) -> np.ndarray:
        return class_codes(values, classes, target) if classes else np.asarray(values, np.float64)

    images = bool(table.columns[names[0]].dtype == np.uint8)
    if options["test"] is not None:
        other = readers.read_table(options["test"], options["header"])
        x_test = other.features(names)
        y_test, _ = _target(other, str(options["test_target"] or target), len(x_test))
        return _Task(kind, classes, names, column, images, x, encoded(values), x_test, encoded(y_test))
    if rows < 2:
        raise DataError(f"{data}: expected at least two rows, one of them to hold out; got {rows}")
    kept, held = random.split(rows, options["holdout"], options["seed"])
    y = encoded(values)
    return _Task(kind, classes, names, column, images, x[kept], y[kept], x[held], y[held])


def _network(task: _Task, backend: Backend, options: dict[str, Any]) -> NeuralNetwork:
    classes = len(task.classes)
    loss = options["loss"] or ("cross_entropy" if classes else "mse")
    output = LOSSES[loss].pair or "identity"
    if bool(classes) != LOSSES[loss].labels and not (classes == 2 and output == "sigmoid"):
        wanted = "cross_entropy (two classes: also binary_cross_entropy)" if classes else "sse, half_sse or mse"
        raise ArgumentError(f"loss: expected {wanted} for this task; got {loss!r}")
    outputs = 1 if output == "sigmoid" else max(classes, 1)
    standardize = options["standardize"]
    first = [Standardize()] if standardize or (standardize is None and not task.images) else []
    # A regression's target has a unit and a size of its own, whatever the features are.
    last = [] if classes or standardize is False else [Unstandardize()]
    return NeuralNetwork(
        task.x.shape[1],
        *first,
        *options["hidden"],
        outputs,
        *last,
        activation=options["activation"],
        output=output,
        loss=loss,
        optimizer=options["optimizer"],
        learning_rate=options["learning_rate"],
        initializer=options["initializer"],
        backend=f"{backend.name}:{backend.device}",
        dtype=options["dtype"],
        seed=options["seed"],
    )


def _draw(history: Any, path: Path | None, model: Path | None) -> None:
    """Draw the loss where it was asked for; otherwise beside the model, if that is possible."""
    if path is None:
        from importlib.util import find_spec

        if model is None:
            return
        if find_spec("matplotlib") is None:
            _say("no loss curve: matplotlib is not installed; pip install 'portnn[plot]'")
            return
        path = model.with_suffix(".png")
    history.plot(path)
    _say(f"wrote {path}")


def _load(model: Path, backend: str | None, data: Path, header: bool | None) -> tuple[NeuralNetwork, Table, np.ndarray]:
    network = NeuralNetwork.load(model, backend=backend)
    table = readers.read_table(data, header)
    names = network.metadata.get("columns")
    if names is None or (
        not table.header and len(table.columns) == len(names)
    ):  # saved from Python: every column is a feature, in order
        names = list(table.columns)
    return network, table, table.features(names)


_MODEL = [
    click.argument("model", type=_FILE),
    click.argument("data", type=_FILE),
    click.option("--backend", help="Where to compute; default: PORTNN_BACKEND or numpy."),
    click.option(
        "--header/--no-header",
        default=None,
        help="Whether a CSV has a header; default: told from its first row.",
    ),
]


def _model_options(function: Any) -> Any:
    for decorate in reversed(_MODEL):
        function = decorate(function)
    return function


@main.command()
@_model_options
@click.option("--outputs", is_flag=True, help="Print the network's outputs (probabilities) instead of classes.")
@click.option("--output", type=click.Path(dir_okay=False, path_type=Path), help="Write to this file instead of stdout.")
def predict(
    model: Path, data: Path, backend: str | None, header: bool | None, outputs: bool, output: Path | None
) -> None:
    """Print MODEL's prediction for each row of DATA, as CSV."""
    network, _, x = _load(model, backend, data, header)
    classes = network.metadata.get("classes") or []
    if classes and not outputs:
        lines = [
            str(network.metadata.get("target") or "class"),
            *(classes[c] for c in network.predict_classes(x)),
        ]
    else:
        result = network.predict(x)
        names = classes if len(classes) == result.shape[1] else [f"output{i}" for i in range(result.shape[1])]
        lines = [",".join(names), *(",".join(repr(float(v)) for v in row) for row in result)]
    text = "\n".join(lines) + "\n"
    if output is None:
        click.echo(text, nl=False)
    else:
        write_atomically(output, text.encode())
        _say(f"wrote {output}")


def _truth(network: NeuralNetwork, table: Table, target: str | None, rows: int) -> np.ndarray:
    """Return the targets that a model's data hold, as the network takes them."""
    target = target or network.metadata.get("target")
    if target is None:
        raise ArgumentError("target: the model does not name one; expected --target")
    values, _ = _target(table, target, rows)
    classes = network.metadata.get("classes") or []
    if classes:
        return class_codes(values, classes, target)
    return np.asarray(values, np.int32 if find(network.loss).labels else np.float64)


@main.command()
@_model_options
@click.option("--target", help="Column or file of the true values; default: the column that the model was trained on.")
def evaluate(model: Path, data: Path, backend: str | None, header: bool | None, target: str | None) -> None:
    """Print MODEL's loss and accuracy (or r2) on DATA."""
    network, table, x = _load(model, backend, data, header)
    y = _truth(network, table, target, len(x))
    metric = "accuracy" if find(network.loss).labels or network.metadata.get("classes") else "r2"
    report = network.evaluate(x, y, metrics=[metric])
    click.echo(f"backend      {network.backend}")
    click.echo(f"{metric:<12} {report[metric]:.4f} on {len(x)} rows")
    click.echo(f"loss         {report['loss']:.6g}")


@main.command()
@click.argument("model", type=_FILE, required=False)
@click.argument("data", type=_FILE, required=False)
@click.option("--backends", "names", help="numpy,cupy,torch:cuda:0 ...; default: every one that is available.")
@click.option("--target", help="Column or file of the true values; default: the column that the model was trained on.")
@click.option(
    "--header/--no-header", default=None, help="Whether a CSV has a header; default: told from its first row."
)
@click.option("--steps", type=click.IntRange(min=1), default=3, show_default=True, help="Training steps to compare.")
@click.option(
    "--dtype",
    type=click.Choice(["float32", "float64", "both"]),
    default="both",
    show_default=True,
    help="Of the built-in networks.",
)
@click.option(
    "--output",
    "outputs",
    type=click.Path(dir_okay=False, path_type=Path),
    multiple=True,
    help="Write the report to .json or .md, or the drift to .png; may be repeated.",
)
def check(
    model: Path | None,
    data: Path | None,
    names: str | None,
    target: str | None,
    header: bool | None,
    steps: int,
    dtype: str,
    outputs: tuple[Path, ...],
) -> None:
    """Check that the backends give NumPy's numbers, within derived bounds: on MODEL and DATA, or on built-in networks.

    Without DATA, data are drawn. Exit code 1 where a bound is broken.
    """
    for path in outputs:
        _check_writable(path, path if path.suffix in PICTURES else None)
    chosen = None if names is None else [name.strip() for name in names.split(",")]
    reports = {}
    for title, network, x, y in _checked_networks(model, data, target, header, dtype):
        reports[title] = compare(network, x, y, backends=chosen, steps=steps)
        click.echo(f"{title}\n{reports[title] if model else reports[title].verdict()}\n")
    for path in outputs:
        save_reports(reports, path)
        _say(f"wrote {path}")
    holds = all(report.holds for report in reports.values())
    click.echo("every bound holds" if holds else "BROKEN: " + ", ".join(t for t, r in reports.items() if not r.holds))
    if not holds:
        sys.exit(1)


def _checked_networks(
    model: Path | None, data: Path | None, target: str | None, header: bool | None, dtype: str
) -> Iterator[tuple[str, NeuralNetwork, Any, Any]]:
    if model is None:
        for kind in ("float32", "float64") if dtype == "both" else (dtype,):
            for title, network in built_in(kind):
                yield f"{title}, {kind}", network, *sample(network)
    elif data is None:
        network = NeuralNetwork.load(model, backend="numpy")
        yield str(model), network, *sample(network)
    else:
        network, table, x = _load(model, "numpy", data, header)
        yield f"{model} on {data}", network, x, _truth(network, table, target, len(x))


@main.command()
def backends() -> None:
    """List the backends: what each runs on, or why it cannot run and the mend."""
    for info in available_backends():
        state = f"{info.version:<12} {', '.join(info.devices)}" if info.available else f"not available: {info.reason}"
        click.echo(f"{info.name:<18}{state}")
