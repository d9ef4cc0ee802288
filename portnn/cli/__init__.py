"""The command line: one file per command. Results go to stdout, messages to stderr."""

import logging
import sys
from typing import Any

import click

from portnn import __version__
from portnn.cli.backends import backends
from portnn.cli.check import check
from portnn.cli.common import examples, say
from portnn.cli.completion import completion
from portnn.cli.evaluate import evaluate
from portnn.cli.export import export
from portnn.cli.predict import predict
from portnn.cli.train import train
from portnn.errors import PortnnError


class _Group(click.Group):
    """Turns portnn's errors into one line and exit code 2; Ctrl-C into 130."""

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except (PortnnError, OSError) as error:
            say(f"Error: {error}")
            sys.exit(2)
        except KeyboardInterrupt:
            say("Interrupted")
            sys.exit(130)


class _Messages(logging.Handler):
    """Prints the library's log beside the command's own messages."""

    def emit(self, record: logging.LogRecord) -> None:
        say(self.format(record))


@click.group(
    cls=_Group,
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog=examples(
        "portnn train flowers.csv --target kind --save flowers.safetensors",
        "portnn evaluate flowers.safetensors flowers.csv",
        "portnn predict flowers.safetensors new.csv --output predicted.csv",
        "portnn check flowers.safetensors flowers.csv",
    ),
)
@click.version_option(__version__, prog_name="portnn")
def main() -> None:
    """Train and run neural networks on NumPy, CuPy, PyTorch or JAX arrays."""
    log = logging.getLogger("portnn")
    if not any(isinstance(handler, _Messages) for handler in log.handlers):
        log.addHandler(_Messages(logging.INFO))
        log.setLevel(logging.INFO)


for command in (train, predict, evaluate, check, export, backends, completion):
    main.add_command(command)
