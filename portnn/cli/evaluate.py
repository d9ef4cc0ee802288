"""portnn evaluate: a model's scores on a file."""

from pathlib import Path

import click

from portnn import plot
from portnn.cli.common import (
    OUTPUT,
    check_outputs,
    examples,
    json_flag,
    model_and_data,
    of_classes,
    on_model,
    say,
    show,
)
from portnn.cli.scores import score_lines, scores
from portnn.errors import ArgumentError


@click.command(
    epilog=examples(
        "portnn evaluate flowers.safetensors flowers.csv", "portnn evaluate flowers.safetensors flowers.csv --json"
    )
)
@on_model
@click.option("--target", help="Column or file of the true values; default: the column that the model was trained on.")
@click.option("--plot", "picture", type=OUTPUT, help="Where to draw the confusion matrix.")
@json_flag
def evaluate(
    model: Path,
    data: Path,
    backend: str | None,
    header: bool | None,
    encoding: str | None,
    target: str | None,
    picture: Path | None,
    as_json: bool,
) -> None:
    """Print MODEL's accuracy (or r2) and loss on DATA, a baseline, and scores of each class if there are few."""
    check_outputs({"plot": picture}, [model, data, target], ["plot"])
    network, x, y = model_and_data(model, backend, data, header, encoding, target)
    metric = "accuracy" if of_classes(network) else "r2"
    if picture is not None and metric != "accuracy":
        raise ArgumentError("plot: expected a classifier, for a confusion matrix; got a regression")
    results = scores(network, metric, x, y)
    lines = [f"backend      {network.backend}", *score_lines(results, metric)]
    show({"backend": network.backend, **results}, lines, as_json)
    if picture is not None:
        plot.confusion_matrix(results["confusion_matrix"], picture, classes=results["classes"])
        say(f"wrote {picture}")
