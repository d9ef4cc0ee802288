"""``python -m portnn``: the command line."""

from portnn.cli import main

main(prog_name="portnn")
