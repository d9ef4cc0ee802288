"""portnn predict: a model's prediction for each row of a file."""

import csv
import io
from pathlib import Path

import click
import numpy as np

from portnn.cli.common import OUTPUT, check_outputs, examples, of_classes, on_model, say, target_name
from portnn.data.task import features, output_names
from portnn.io import readers
from portnn.io.categories import as_text
from portnn.io.files import write_atomically
from portnn.network import NeuralNetwork
from portnn.nn.losses import find


@click.command(
    epilog=examples(
        "portnn predict flowers.safetensors new.csv",
        "portnn predict flowers.safetensors new.csv --outputs --output probabilities.csv",
    )
)
@on_model
@click.option(
    "--outputs",
    is_flag=True,
    help="Print the network's outputs (probabilities, logarithms of counts) instead of what they predict.",
)
@click.option("--output", type=OUTPUT, help="Write to this file instead of stdout.")
@click.option("--verbose", is_flag=True, help="Print what the model is, and how it reads the columns.")
def predict(
    model: Path,
    data: Path,
    backend: str | None,
    header: bool | None,
    encoding: str | None,
    outputs: bool,
    output: Path | None,
    verbose: bool,
) -> None:
    """Print MODEL's prediction for each row of DATA, as CSV."""
    check_outputs({"output": output}, [model, data], ())
    network = NeuralNetwork.load(model, backend=backend)
    if verbose:
        say(network.summary())
    target = target_name(network)
    x = features(readers.read_table(data, header, encoding), network.columns, target)
    if of_classes(network) and not outputs:
        rows = [[target or "class"], *([as_text(label)] for label in network.predict_classes(x).tolist())]
    else:
        result, link = network.predict(x), find(network.loss).inverse_link
        if link is not None and not outputs:
            result = link(np, np.asarray(result, np.float64))
        names = output_names(network.classes, target, result.shape[1])
        rows = [names, *([repr(float(v)) for v in row] for row in result)]
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows(rows)
    if output is None:
        click.echo(text.getvalue(), nl=False)
    else:
        write_atomically(output, text.getvalue().encode())
        say(f"wrote {output}")
