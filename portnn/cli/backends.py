"""portnn backends: what each backend runs on."""

import dataclasses

import click

from portnn.backend import available_backends
from portnn.cli.common import examples, json_flag, show


@click.command(epilog=examples("portnn backends", "portnn backends --json"))
@json_flag
def backends(as_json: bool) -> None:
    """List the backends: the device of each, or the reason why it cannot run and how to install it."""
    infos = available_backends()
    states = [f"{i.version:<12} {', '.join(i.devices)}" if i.available else f"not available: {i.reason}" for i in infos]
    lines = [f"{info.name:<18}{state}" for info, state in zip(infos, states, strict=True)]
    show({"backends": [dataclasses.asdict(info) for info in infos]}, lines, as_json)
