"""What the documents say: every block of Python runs, every name is there."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from portnn.nn.activations import ACTIVATIONS
from portnn.nn.initializers import INITIALIZERS
from portnn.nn.layers import LAYERS
from portnn.nn.losses import LOSSES
from portnn.nn.metrics import METRICS
from portnn.nn.optimizers import OPTIMIZERS

ROOT = Path(__file__).parents[1]
DOCUMENTS = ("README.md", "CONTRIBUTING.md", "examples/README.md")
BLOCKS = [
    (document, number, block)
    for document in DOCUMENTS
    for number, block in enumerate(re.findall(r"^```python\n(.*?)^```", (ROOT / document).read_text(), re.M | re.S))
]


@pytest.mark.parametrize(("document", "number", "block"), BLOCKS, ids=[f"{d}-{n}" for d, n, _ in BLOCKS])
def test_python_blocks_run(tmp_path, document, number, block):
    (tmp_path / "examples").symlink_to(ROOT / "examples")
    command = [sys.executable, "-W", "error::RuntimeWarning", "-c", block]
    environment = {**os.environ, "MPLBACKEND": "Agg"}
    result = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stdout + result.stderr


def test_the_transcript_is_what_the_example_prints(tmp_path):
    """One seed, one start: of the libraries that are here."""
    shown = re.findall(r"^(\w+) +start (\w+), loss ([\d.]+), ", (ROOT / "README.md").read_text(), re.MULTILINE)
    command = [sys.executable, str(ROOT / "examples" / "every_backend.py")]
    result = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    printed = dict(line.split(maxsplit=1) for line in result.stdout.splitlines())
    assert {name for name, _, _ in shown} == {"numpy", "jax", "torch"}
    for name, start, loss in shown:
        # The start is the seed's, to the bit; the loss is each library's and machine's own in its last digits.
        assert printed[name].startswith((f"start {start}, loss {loss[:5]}", "not run:"))


def test_there_is_something_to_run():
    assert any(document == "README.md" for document, _, _ in BLOCKS)


@pytest.mark.parametrize(
    "table", [ACTIVATIONS, LOSSES, OPTIMIZERS, INITIALIZERS, METRICS, LAYERS], ids=lambda t: next(iter(t))
)
def test_what_there_is_is_listed(table):
    readme = (ROOT / "README.md").read_text()
    assert [name for name in table if not re.search(rf"\b{name}\b", readme)] == []
