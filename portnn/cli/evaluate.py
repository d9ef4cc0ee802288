"""portnn evaluate: how well a model does on a file."""

from pathlib import Path

import click

from portnn.cli.common import model_and_data, model_target, on_model
from portnn.cli.scores import show_scores
from portnn.data.task import target_values, truth
from portnn.nn.losses import find


@click.command()
@on_model
@click.option("--target", help="Column or file of the true values; default: the column that the model was trained on.")
def evaluate(model: Path, data: Path, backend: str | None, header: bool | None, target: str | None) -> None:
    """Print MODEL's accuracy (or r2) and loss on DATA, what guessing would score, and each class where they are few."""
    network, table, x = model_and_data(model, backend, data, header)
    named = model_target(network, target)
    values, _ = target_values(table, named, len(x))
    metric = "accuracy" if find(network.loss).labels or network.metadata.get("classes") else "r2"
    click.echo(f"backend      {network.backend}")
    show_scores(network, metric, x, truth(network.metadata, network.loss, values, named))
