"""portnn predict: a model's prediction for each row of a file."""

import csv
import io
from pathlib import Path

import click

from portnn.cli.common import OUTPUT, check_outputs, examples, model_and_data, on_model, say
from portnn.data.files import write_atomically
from portnn.data.task import output_names


@click.command(
    epilog=examples(
        "portnn predict flowers.safetensors new.csv",
        "portnn predict flowers.safetensors new.csv --outputs --output probabilities.csv",
    )
)
@on_model
@click.option("--outputs", is_flag=True, help="Print the network's outputs (probabilities) instead of classes.")
@click.option("--output", type=OUTPUT, help="Write to this file instead of stdout.")
def predict(
    model: Path,
    data: Path,
    backend: str | None,
    header: bool | None,
    outputs: bool,
    output: Path | None,
) -> None:
    """Print MODEL's prediction for each row of DATA, as CSV."""
    check_outputs({"output": output}, [model, data], ())
    network, _, x = model_and_data(model, backend, data, header)
    classes = network.metadata.get("classes") or []
    if classes and not outputs:
        rows = [[str(network.metadata.get("target") or "class")], *([classes[c]] for c in network.predict_classes(x))]
    else:
        result = network.predict(x)
        rows = [output_names(network.metadata, result.shape[1]), *([repr(float(v)) for v in row] for row in result)]
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows(rows)
    if output is None:
        click.echo(text.getvalue(), nl=False)
    else:
        write_atomically(output, text.getvalue().encode())
        say(f"wrote {output}")
