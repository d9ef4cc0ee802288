"""portnn backends: what each backend runs on."""

import click

from portnn.backend import available_backends


@click.command()
def backends() -> None:
    """List the backends: what each runs on, or why it cannot run and the mend."""
    for info in available_backends():
        state = f"{info.version:<12} {', '.join(info.devices)}" if info.available else f"not available: {info.reason}"
        click.echo(f"{info.name:<18}{state}")
