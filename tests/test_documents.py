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


def test_there_is_something_to_run():
    assert any(document == "README.md" for document, _, _ in BLOCKS)


@pytest.mark.parametrize(
    "table", [ACTIVATIONS, LOSSES, OPTIMIZERS, INITIALIZERS, METRICS, LAYERS], ids=lambda t: next(iter(t))
)
def test_what_there_is_is_listed(table):
    readme = (ROOT / "README.md").read_text()
    assert [name for name in table if not re.search(rf"\b{name}\b", readme)] == []
