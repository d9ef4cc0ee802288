"""What is installed, what is imported, what is public."""

import json
import os
import re
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

import portnn

ROOT = Path(__file__).parents[1]


def python(code: str, **options) -> str:
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, **options)
    return result.stdout.strip()


def test_public_names():
    assert sorted(portnn.__all__) == sorted(set(portnn.__all__))
    assert all(hasattr(portnn, name) for name in portnn.__all__)
    assert all((getattr(portnn, name).__doc__ or "").strip() for name in portnn.__all__)
    assert f'version = "{portnn.__version__}"' in (ROOT / "pyproject.toml").read_text()


def test_import_loads_no_array_library_but_numpy(tmp_path):
    heavy = ["cupy", "torch", "jax", "array_api_compat", "array_api_strict", "matplotlib", "tqdm", "click", "pandas"]
    code = f"import sys, json, portnn; print(json.dumps([m for m in {heavy} if m in sys.modules]))"
    assert json.loads(python(code, cwd=tmp_path)) == []


def test_import_time():
    """At most 1.6 times NumPy's, each the best of several processes: noise only ever adds."""
    code = "import time; a = time.perf_counter(); import numpy; b = time.perf_counter(); import portnn; "
    code += "print(b - a, time.perf_counter() - a)"
    environment = {k: v for k, v in os.environ.items() if k != "PYTHONDONTWRITEBYTECODE"}
    runs = [[float(t) for t in python(code, env=environment).split()] for _ in range(8)]
    numpy_alone, whole = (min(times) for times in zip(*runs, strict=True))
    assert whole <= 1.6 * numpy_alone


def test_wheel_contents(tmp_path):
    """Built without isolation: the build needs nothing but setuptools, which the extra `test` brings."""
    pytest.importorskip("setuptools")
    source = tmp_path / "source"
    source.mkdir()
    for name in ("portnn", "backends"):
        for file in (ROOT / name).glob("*"):
            if file.is_file():
                (source / name).mkdir(exist_ok=True)
                (source / name / file.name).write_bytes(file.read_bytes())
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        (source / name).write_bytes((ROOT / name).read_bytes())
    code = f"from setuptools.build_meta import build_wheel; print(build_wheel({str(tmp_path)!r}))"
    wheel = python(code, cwd=source).splitlines()[-1]
    names = set(zipfile.ZipFile(tmp_path / wheel).namelist())
    for file in (ROOT / "portnn").glob("*.py"):
        assert f"portnn/{file.name}" in names
    for file in (ROOT / "backends").glob("*.py"):
        assert f"portnn/backends/{file.name}" in names
    assert "portnn/py.typed" in names
    assert any(name.endswith("licenses/LICENSE") for name in names)
    assert not [name for name in names if name.startswith(("backends/", "tests/", "examples/"))]


def lint(folder: Path) -> subprocess.CompletedProcess[str]:
    program = Path(sys.executable).with_name("lint-imports")
    return subprocess.run([program, "--no-cache"], cwd=folder, capture_output=True, text=True, check=False)


@pytest.mark.parametrize(
    ("file", "line"),
    [
        ("portnn/layers.py", "from portnn import network"),
        ("portnn/training.py", "from portnn import network"),
        ("portnn/step.py", "import numpy"),
        ("portnn/losses.py", "import torch"),
        ("backends/_numpy.py", "from portnn import layers"),
    ],
)
def test_import_contract(tmp_path, file, line):
    """The contract holds as it stands and fails on a planted import."""
    pytest.importorskip("importlinter")
    for name in ("portnn", "backends"):
        (tmp_path / name).mkdir()
        for source in (ROOT / name).glob("*.py"):
            (tmp_path / name / source.name).write_text(source.read_text())
    (tmp_path / "pyproject.toml").write_text((ROOT / "pyproject.toml").read_text())
    kept = lint(tmp_path)
    assert kept.returncode == 0, kept.stdout + kept.stderr
    planted = tmp_path / file
    planted.write_text(planted.read_text() + f"\n{line}\n")
    assert lint(tmp_path).returncode == 1


def test_documents_name_files_that_exist():
    for document in ("README.md", "CONTRIBUTING.md"):
        for path in re.findall(
            r"`((?:portnn|backends|tests|examples|benchmarks)/[\w./]*)`", (ROOT / document).read_text()
        ):
            assert (ROOT / path).exists(), f"{document}: {path}"
