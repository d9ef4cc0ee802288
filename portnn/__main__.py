"""``python -m portnn``: the command line."""

from portnn.cli import main

if __name__ == "__main__":
    main(prog_name="portnn")
