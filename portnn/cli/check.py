"""The command ``portnn check``: whether the backends give NumPy's numbers."""

import os
import platform
import sys
from collections.abc import Iterator, Sequence
from importlib import import_module
from pathlib import Path
from typing import Any

import click

from portnn import hashing
from portnn.cli.common import DATA, FILE, OUTPUT, check_outputs, encoding, examples, header, model_and_data, say
from portnn.equivalence.bits import BitsReport, compare_bits
from portnn.equivalence.compare import compare
from portnn.equivalence.drift import Drift, drift
from portnn.equivalence.networks import built_in, sample
from portnn.equivalence.report import PICTURES, Report, save_reports
from portnn.errors import ArgumentError
from portnn.network import NeuralNetwork

DTYPES = ("float32", "float64")


@click.command(
    epilog=examples(
        "portnn check",
        "portnn check --backends torch,jax --steps 20 --output report.md --output drift.png",
        "portnn check flowers.safetensors flowers.csv --bits",
    )
)
@click.argument("model", type=FILE, required=False)
@click.argument("data", type=DATA, required=False)
@click.option("--backends", "names", help="numpy,cupy,torch:cuda:0 ...; default: every one that is available.")
@click.option("--target", help="Column or file of the true values; default: the column that the model was trained on.")
@header
@encoding
@click.option("--steps", type=click.IntRange(min=1), default=3, show_default=True, help="Training steps to compare.")
@click.option(
    "--dtype",
    type=click.Choice([*DTYPES, "both"]),
    help="Dtype of the built-in networks; default: both, float64 with --bits.",
)
@click.option(
    "--against",
    type=click.Choice(["auto", "exact"]),
    default="auto",
    show_default=True,
    help="exact: compare every library with numbers of 50 digits (mpmath), which may take long.",
)
@click.option("--verbose", is_flag=True, help="Also print a table of all tensors.")
@click.option(
    "--bits",
    is_flag=True,
    help="Train in reproducible arithmetic; expect the same bits everywhere, and name the first step that differs.",
)
@click.option(
    "--output",
    "outputs",
    type=OUTPUT,
    multiple=True,
    help="Write the report as .json or .md, or a picture of the drift as .png (with --bits also in fast arithmetic).",
)
def check(
    model: Path | None,
    data: Path | None,
    names: str | None,
    target: str | None,
    header: bool | None,
    encoding: str | None,
    steps: int,
    dtype: str | None,
    against: str,
    verbose: bool,
    bits: bool,
    outputs: tuple[Path, ...],
) -> None:
    """Check that each backend is within derived bounds of the true values: on MODEL and DATA, or on built-in networks.

    With --bits: that it has NumPy's bits. Without DATA, random data are used. Exit code 1 if a bound is exceeded or a
    bit differs. JAX's compiled code is kept in the user's cache folder, or in JAX_COMPILATION_CACHE_DIR.
    """
    if bits and against == "exact":
        raise ArgumentError("against: --bits compares bits with NumPy's; expected one of --bits and --against")
    if bits and dtype not in (None, "float64"):
        raise ArgumentError(f"dtype: reproducible arithmetic is float64 throughout; got --dtype {dtype} with --bits")
    endings = (".json", ".md", *PICTURES)
    for path in outputs:
        if path.suffix not in endings:
            raise ArgumentError(f"output: expected a name ending in {', '.join(endings)}; got {path}")
    pictures = [f"output {path}" for path in outputs if path.suffix in PICTURES]
    check_outputs({f"output {path}": path for path in outputs}, [model, data], pictures)
    chosen = None if names is None else [name.strip() for name in names.split(",")]
    reports: dict[str, Report | BitsReport] = {}
    beside: list[Drift] = []
    dtypes = DTYPES[1:] if bits else DTYPES if dtype in (None, "both") else (dtype,)
    keep_compiled()
    for title, network, x, y in _networks(model, data, target, header, encoding, dtypes):
        click.echo(title)  # printed before the work, so that its progress can be followed
        if bits:
            reproducible = network.to(arithmetic="reproducible")
            reports[title] = compare_bits(reproducible, x, y, backends=chosen, steps=steps)
            beside += [drift(network, x, y, backends=chosen, steps=steps)] if pictures else []
        else:
            reports[title] = compare(network, x, y, backends=chosen, steps=steps, against=against, progress=None)
        report = reports[title]
        click.echo(f"{_passed(bits) if report.holds else _failed(bits)}\n{report if verbose else report.verdict()}\n")
    for path in outputs:
        save_reports(reports, path, beside)
        say(f"wrote {path}")
    holds = all(report.holds for report in reports.values())
    click.echo(
        _passed(bits) if holds else f"{_failed(bits)}: " + ", ".join(t for t, r in reports.items() if not r.holds)
    )
    if not holds:
        sys.exit(1)


def keep_compiled() -> None:
    """Let JAX reuse, from the user's cache folder, what an earlier check compiled, unless the user names a folder.

    Each kind of processor has its own folder: several may share a home folder, and code compiled for one may contain
    instructions that another lacks.
    """
    if "JAX_COMPILATION_CACHE_DIR" in os.environ:
        return
    home = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    features = import_module("numpy._core._multiarray_umath").__cpu_features__
    has = " ".join(sorted(name for name, present in features.items() if present))
    kind = f"{platform.machine()}-{hashing.sha256(has.encode()).hexdigest()[:12]}"
    os.environ["JAX_COMPILATION_CACHE_DIR"] = str(home / "portnn" / "jax" / kind)
    os.environ.setdefault("JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS", "0")
    os.environ.setdefault("JAX_PERSISTENT_CACHE_MIN_ENTRY_SIZE_BYTES", "0")


def _passed(bits: bool) -> str:
    return "all bits are equal" if bits else "every bound holds"


def _failed(bits: bool) -> str:
    return "DIFFERENT" if bits else "BROKEN"


def _networks(
    model: Path | None,
    data: Path | None,
    target: str | None,
    header: bool | None,
    encoding: str | None,
    dtypes: Sequence[str],
) -> Iterator[tuple[str, NeuralNetwork, Any, Any]]:
    if model is None:
        for dtype in dtypes:
            for title, network in built_in(dtype):
                yield f"{title}, {dtype}", network, *sample(network)
    elif data is None:
        network = NeuralNetwork.load(model, backend="numpy")
        yield str(model), network, *sample(network)
    else:
        yield f"{model} on {data}", *model_and_data(model, "numpy", data, header, encoding, target)
