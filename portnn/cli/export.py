"""portnn export: a model as an ONNX file."""

from pathlib import Path

import click

from portnn.cli.common import FILE, OUTPUT, check_outputs, examples, say
from portnn.errors import ArgumentError
from portnn.network import NeuralNetwork


@click.command(
    epilog=examples(
        "portnn export flowers.safetensors flowers.onnx",
        "portnn export flowers.safetensors flowers.onnx --input-dtype float32",
    )
)
@click.argument("model", type=FILE)
@click.argument("output", type=OUTPUT)
@click.option("--input-dtype", help="float32, float64, int32, int64 or uint8; default: what the first layer takes.")
def export(model: Path, output: Path, input_dtype: str | None) -> None:
    """Write MODEL's predictions to OUTPUT, an ONNX file, once onnxruntime has computed them from it too."""
    if output.suffix != ".onnx":
        raise ArgumentError(f"OUTPUT: expected a name ending in .onnx; got {output}")
    check_outputs({"OUTPUT": output}, [model], ())
    NeuralNetwork.load(model, backend="numpy").export_onnx(output, input_dtype=input_dtype)
    say(f"wrote {output}")
