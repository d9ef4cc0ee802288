"""portnn completion: Tab completes commands, options, their values and files."""

import click
from click.shell_completion import get_completion_class

from portnn.cli.common import examples
from portnn.errors import ArgumentError


@click.command(
    epilog=examples(
        'eval "$(portnn completion bash)"   # in ~/.bashrc',
        'eval "$(portnn completion zsh)"   # in ~/.zshrc',
        "portnn completion fish > ~/.config/fish/completions/portnn.fish",
    )
)
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
@click.pass_context
def completion(context: click.Context, shell: str) -> None:
    """Print the script that makes SHELL complete portnn's command line."""
    completion_class = get_completion_class(shell)
    if completion_class is None:
        raise ArgumentError(f"shell: expected bash, zsh or fish; got {shell!r}")
    try:
        click.echo(completion_class(context.find_root().command, {}, "portnn", "_PORTNN_COMPLETE").source())
    except RuntimeError as error:  # click asks bash for its version
        raise ArgumentError(f"shell: {error}") from error
