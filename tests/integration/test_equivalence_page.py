"""docs/guides/test-equivalence.md: its project passes as it is printed, and its numbers are right."""

import os
import re
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

PAGE = (Path(__file__).parents[2] / "docs" / "guides" / "test-equivalence.md").read_text()
FILES = dict(re.findall(r"^`([\w./-]+)`(?:(?!\n\n).)*:\n\n```\w+\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL))


@pytest.fixture
def project(tmp_path):
    for name, text in FILES.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    return tmp_path


def run_pytest(project, *arguments):
    """Run the project's tests, in a process of their own."""
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *arguments]
    path = os.pathsep.join([str(project / "src"), str(Path(__file__).parents[2])])
    environment = {**os.environ, "PYTHONPATH": path}
    return subprocess.run(command, cwd=project, env=environment, capture_output=True, text=True, check=False)


def test_there_are_ten_files():
    assert len(FILES) == 10
    assert {Path(name).suffix for name in FILES} == {".toml", ".md", ".py", ".yml"}


@pytest.mark.exhaustive
def test_the_project_passes_as_the_workflow_runs_it(project):
    pytest.importorskip("array_api_strict")
    if find_spec("jax"):
        pytest.skip("jax: slow to import in a process of its own; the suite without it runs the project")
    (command,) = re.findall(r"- run: pytest (.*)", FILES[".github/workflows/cpu.yml"])
    result = run_pytest(project, *command.split())
    assert result.returncode == 0, result.stdout + result.stderr
    assert re.search(r"\d+ passed", result.stdout)


def test_the_numbers_by_hand_are_right():
    (block,) = (
        text for text in re.findall(r"^```python\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL) if "Bounded" in text
    )
    exec(compile(block, "docs/guides/test-equivalence.md", "exec"), {})
