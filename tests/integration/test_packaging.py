"""What is installed, what is imported, what is public."""

import ast
import io
import json
import re
import shutil
import subprocess
import sys
import tarfile
import tokenize
import tomllib
import zipfile
from pathlib import Path

import numpy as np
import planted_faults
import pytest

import portnn

ROOT = Path(__file__).parents[2]


def python(code: str, **options) -> str:
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, **options)
    return result.stdout.strip()


def copy_code(folder: Path) -> None:
    """Copy the code and pyproject.toml, nothing that was built."""
    for name in ("portnn", "backends"):
        shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "pyproject.toml", folder)


def test_public_names():
    assert sorted(portnn.__all__) == sorted(set(portnn.__all__))
    assert all(hasattr(portnn, name) for name in portnn.__all__)
    assert all((getattr(portnn, name).__doc__ or "").strip() for name in portnn.__all__)


def test_import_loads_no_array_library_but_numpy(tmp_path):
    heavy = ["cupy", "torch", "jax", "array_api_compat", "array_api_strict", "matplotlib", "tqdm", "click", "pandas"]
    heavy += ["sklearn", "scipy", "onnx"]
    code = f"import sys, json, portnn; print(json.dumps([m for m in {heavy} if m in sys.modules]))"
    assert json.loads(python(code, cwd=tmp_path)) == []


def test_import_is_light(tmp_path):
    """Beyond NumPy: portnn's own modules and a few light ones of the standard library.

    Modules are counted, not seconds: a loaded machine must not turn this red.
    """
    code = "import json, sys, numpy; before = set(sys.modules); import portnn; "
    code += "print(json.dumps(sorted(set(sys.modules) - before)))"
    added = {name for name in json.loads(python(code, cwd=tmp_path)) if name.split(".")[0] != "portnn"}
    assert {name for name in added if name.split(".")[0] not in sys.stdlib_module_names} == set()
    assert not added & {"asyncio", "multiprocessing", "numpy.random", "subprocess", "tempfile", "unittest"}
    # 25 of them with a new NumPy, which imports some itself; 30 with NumPy 2.0 and no editable install, which do not.
    assert len(added) <= 30, sorted(added)


@pytest.mark.exhaustive
def test_wheel_contents(tmp_path):
    """Built without isolation: the build needs nothing but setuptools, which the extra `test` brings."""
    pytest.importorskip("setuptools")
    source = tmp_path / "source"
    source.mkdir()
    copy_code(source)
    for name in ("README.md", "LICENSE"):
        (source / name).write_bytes((ROOT / name).read_bytes())
    code = f"from setuptools.build_meta import build_wheel; print(build_wheel({str(tmp_path)!r}))"
    wheel = python(code, cwd=source).splitlines()[-1]
    names = set(zipfile.ZipFile(tmp_path / wheel).namelist())
    for file in (ROOT / "portnn").rglob("*.py"):
        assert file.relative_to(ROOT).as_posix() in names
    for file in (ROOT / "backends").glob("*.py"):
        assert f"portnn/backends/{file.name}" in names
    assert {"portnn/py.typed", "portnn/jit/cuda/prelude.cuh"} <= names
    assert any(name.endswith("licenses/LICENSE") for name in names)
    assert not [name for name in names if name.startswith(("backends/", "tests/", "examples/"))]


def test_the_version_is_in_one_place(tmp_path):
    """A build takes it from portnn/__init__.py; pyproject.toml has none."""
    copy_code(tmp_path)
    init = tmp_path / "portnn" / "__init__.py"
    init.write_text(init.read_text().replace(f'"{portnn.__version__}"', '"7.8.9"'))
    for name in ("README.md", "LICENSE"):
        shutil.copy(ROOT / name, tmp_path)
    code = f"from setuptools.build_meta import build_wheel; print(build_wheel({str(tmp_path)!r}))"
    assert python(code, cwd=tmp_path).splitlines()[-1].startswith("portnn-7.8.9-")
    assert portnn.__version__ not in (ROOT / "pyproject.toml").read_text()


@pytest.mark.exhaustive
def test_a_source_distribution_has_what_its_tests_need(tmp_path):
    """CI runs them in one."""
    pytest.importorskip("setuptools")
    source = tmp_path / "source"
    ignored = shutil.ignore_patterns(".git", ".*cache", "__pycache__", "*.egg-info", "build", "dist", ".venv")
    shutil.copytree(ROOT, source, ignore=ignored)
    code = f"from setuptools.build_meta import build_sdist; print(build_sdist({str(tmp_path)!r}))"
    archive = tmp_path / python(code, cwd=source).splitlines()[-1]
    with tarfile.open(archive) as file:
        file.extractall(tmp_path, filter="data")
    unpacked = tmp_path / archive.name.removesuffix(".tar.gz")
    for folder in ("portnn", "backends", "tests", "examples", "benchmarks"):
        for path in (ROOT / folder).rglob("*"):
            if path.suffix in (".py", ".csv", ".md") and "__pycache__" not in path.parts:
                assert (unpacked / path.relative_to(ROOT)).is_file(), path
    assert (unpacked / "CHANGELOG.md").is_file()


def test_a_checkout_finds_its_adapters_without_an_installation(tmp_path):
    """Python started in the root, with no portnn installed or another one: `-S` hides what is installed."""
    copy_code(tmp_path)
    numpy_home = str(Path(np.__file__).parents[1])
    code = f"import sys; sys.path.append({numpy_home!r}); import portnn; "
    code += "print(portnn.__file__, portnn.NeuralNetwork(2, 1))"
    result = subprocess.run(
        [sys.executable, "-S", "-c", code], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert result.returncode == 0, result.stderr
    assert str(tmp_path) in result.stdout
    assert "backend='numpy:cpu'" in result.stdout


def test_the_oldest_versions_are_those_that_are_allowed():
    if not (ROOT / ".ci" / "lowest.txt").is_file():
        pytest.skip(".ci is not here: an unpacked distribution")
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    extras = project["optional-dependencies"]
    lines = [*project["dependencies"], *(line for extra in ("test", "sklearn", "onnx") for line in extras[extra])]
    allowed = dict(line.split(">=") for line in lines)
    lines = (ROOT / ".ci" / "lowest.txt").read_text().splitlines()
    assert dict(line.split("==") for line in lines if not line.startswith("#")) == allowed


def test_the_module_can_be_imported_and_run(tmp_path):
    assert python("import portnn.__main__; print('imported')", cwd=tmp_path) == "imported"
    result = subprocess.run([sys.executable, "-m", "portnn", "--version"], cwd=tmp_path, capture_output=True, text=True)
    assert portnn.__version__ in result.stdout


def lint(folder: Path) -> subprocess.CompletedProcess[str]:
    program = Path(sys.executable).with_name("lint-imports")
    return subprocess.run([program, "--no-cache"], cwd=folder, capture_output=True, text=True, check=False)


PLANTED = {
    "portnn/errors.py": "from portnn.numerics import bounds",
    "portnn/numerics/bounds.py": "from portnn.nn import layers",
    "portnn/jit/memory.py": "from portnn.backend import Backend",
    "portnn/optim/transforms.py": "import numpy",
    "portnn/reproducible/exact.py": "from portnn.model import step",
    "portnn/io/tables.py": "from portnn.data import frames",
    "portnn/nn/layers.py": "from portnn import network",
    "portnn/nn/activations.py": "from portnn.nn import layers",  # a circle within the folder
    "portnn/nn/losses.py": "import torch",
    "portnn/nn/preprocessing.py": "import numpy",
    "portnn/data/arrays.py": "from portnn.model import step",
    "portnn/model/runtime.py": "from portnn.train import loop",
    "portnn/model/step.py": "import numpy",
    "portnn/train/loop.py": "from portnn import network",
    "portnn/network/base.py": "from portnn.equivalence import report",
    "portnn/equivalence/report.py": "from portnn import testing",
    "portnn/new.py": "import math",  # a file that no contract names
    "backends/_numpy.py": "from portnn.nn import layers",
}


@pytest.mark.parametrize("file", [None, *PLANTED])
def test_import_contract(tmp_path, file):
    """The contract holds as it stands and fails on a planted import, in every folder."""
    pytest.importorskip("importlinter")
    copy_code(tmp_path)
    if file is not None:
        with open(tmp_path / file, "a") as planted:
            planted.write(f"\n{PLANTED[file]}\n")
    result = lint(tmp_path)
    assert result.returncode == (file is not None), result.stdout + result.stderr


@pytest.mark.parametrize("words", ["pip install -e . && portnn train", "pip install -e '.[test]' && pytest -n 2"])
def test_ci_runs_what_the_readme_says(tmp_path, words):
    """And fails where the README says it in other words."""
    if not (ROOT / ".ci" / "readme").is_file():
        pytest.skip(".ci is not here: an unpacked distribution")
    (tmp_path / ".ci").mkdir()
    shutil.copy(ROOT / ".ci" / "readme", tmp_path / ".ci")
    assert words in (ROOT / ".ci" / "run").read_text().replace("${install}", "pip install -e . && ")
    readme = (ROOT / "README.md").read_text()
    for text, code in ((readme, 0), (readme.replace(words, words.replace("pip install", "python -m pip install")), 1)):
        (tmp_path / "README.md").write_text(text)
        command = ["bash", ".ci/readme", words]
        result = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
        assert result.returncode == code
        assert result.stdout.startswith(words) == (code == 0)


def test_documents_name_files_that_exist():
    for document in ("README.md", "CONTRIBUTING.md"):
        for path in re.findall(
            r"`((?:portnn|backends|tests|examples|benchmarks)/[\w./]*)`", (ROOT / document).read_text()
        ):
            assert (ROOT / path).exists(), f"{document}: {path}"


def test_each_planted_fault_has_its_place():
    """python tests/planted_faults.py plants them; a text that is no longer there, once, plants nothing."""
    for fault in planted_faults.FAULTS:
        assert (ROOT / fault.file).read_text().count(fault.text) == 1, fault.description
        named = [word for word in fault.tests.split() if word.startswith("tests/")]
        assert all((ROOT / name).is_file() for name in named), fault.description


TESTED_ELSEWHERE = {
    "backends/_jax.py": "equivalence/test_conformance",
    "backends/_cublas.py": "backends/test_cupy",
    "backends/_cuda.py": "backends/test_cupy",
    "backends/_numpy.py": "equivalence/test_conformance",
    "backends/_strict.py": "equivalence/test_conformance",
    "portnn/jit/cuda/rows.py": "jit/cuda/test_function",
    "portnn/__main__.py": "cli/test_cli",
    "portnn/sklearn/base.py": "test_sklearn",
    "portnn/sklearn/classifier.py": "test_sklearn",
    "portnn/sklearn/regressor.py": "test_sklearn",
    "portnn/conversion/torch_layers.py": "conversion/test_torch_modules",
    "portnn/conversion/torch_optimizers.py": "conversion/test_torch_modules",
    "portnn/onnx/columns.py": "test_onnx",
    "portnn/onnx/export.py": "test_onnx",
    "portnn/onnx/nodes.py": "test_onnx",
    "portnn/onnx/program.py": "test_onnx",
    "portnn/onnx/verify.py": "test_onnx",
    "portnn/callbacks.py": "train/test_callbacks",
    "portnn/model/architecture.py": "network/test_network",
    "portnn/model/pipeline.py": "network/test_inference",
    "portnn/model/preprocess.py": "model/test_state",
    "portnn/model/runtime.py": "model/test_state",
    "portnn/model/shared.py": "test_distributed",
    "portnn/mpi.py": "test_distributed",
    "portnn/train/ranks.py": "test_distributed",
    "backends/_nccl.py": "test_distributed",
    "portnn/data/arrays.py": "integration/test_bad_input",
    "portnn/data/dataset.py": "network/test_inference",
    "portnn/data/kinds.py": "data/test_encoding",
    "portnn/data/labels.py": "integration/test_tables",
    "portnn/data/sample_weights.py": "network/test_inference",
    "portnn/data/spec.py": "integration/test_bad_input",
    "portnn/data/task.py": "integration/test_tables",
    "portnn/defaults.py": "cli/test_train",
    "portnn/equivalence/derivatives.py": "test_testing",
    "portnn/equivalence/networks.py": "equivalence/test_compare",
    "portnn/equivalence/report.py": "equivalence/test_compare",
    "portnn/equivalence/lockstep.py": "equivalence/test_compare",
    "portnn/errors.py": "integration/test_bad_input",
    "portnn/hashing.py": "nn/test_random",
    "portnn/initializers.py": "test_registry",
    "portnn/interrupts.py": "network/test_network",
    "portnn/io/categories.py": "integration/test_tables",
    "portnn/io/delimited.py": "io/test_readers",
    "portnn/io/header.py": "integration/test_tables",
    "portnn/io/tables.py": "integration/test_tables",
    "portnn/jit/memory.py": "jit/test_compiled",
    "portnn/jit/split_vector.py": "model/test_state",
    "portnn/jit/graph.py": "jit/test_tracer",
    "portnn/jit/executable.py": "jit/test_compiled",
    "portnn/jit/trace.py": "jit/test_compiled",
    "portnn/jit/cuda/kernels.py": "jit/cuda/test_fusion",
    "portnn/jit/cuda/nodes.py": "jit/cuda/test_fusion",
    "portnn/jit/cuda/launch.py": "jit/cuda/test_function",
    "portnn/jit/codegen.py": "jit/test_targets",
    "portnn/losses.py": "test_registry",
    "portnn/numerics/mpmath_namespace.py": "equivalence/test_oracle",
    "portnn/optim/chain.py": "optim/test_optimizers",
    "portnn/optim/optimizer.py": "optim/test_optimizers",
    "portnn/optim/schedules.py": "nn/test_nn",
    "portnn/optim/transforms.py": "optim/test_optimizers",
    "portnn/pytest_plugin.py": "test_testing",
    "portnn/schedules.py": "nn/test_nn",
    "portnn/train/history.py": "network/test_inference",
    "portnn/train/loop.py": "train/test_callbacks",
    "portnn/train/fit_state.py": "train/test_callbacks",
    "portnn/types.py": "test_options",
}
"""Modules without a test of their name: what spans several stands with the one of them that it is most about."""


def test_each_module_has_a_test_by_its_path():
    """portnn/nn/random.py: tests/nn/test_random.py, or tests/nn/test_nn.py, which is for all of the folder."""
    without = set()
    for path in (*ROOT.glob("portnn/**/*.py"), *ROOT.glob("backends/*.py")):
        module = path.relative_to(ROOT)
        folder = (
            ROOT / "tests" / (module.parent if module.parts[0] == "backends" else module.parent.relative_to("portnn"))
        )
        names = (module.stem.removeprefix("_"), *([folder.name] if folder.name != "tests" else []))
        if path.stem != "__init__" and not any((folder / f"test_{name}.py").exists() for name in names):
            without.add(module.as_posix())
    assert without == set(TESTED_ELSEWHERE)
    for test in TESTED_ELSEWHERE.values():
        assert (ROOT / "tests" / f"{test}.py").exists(), test


def code_lines(path):
    """Return the number of a file's lines that are no comment, docstring or blank."""
    text = path.read_text()
    texts = [node for node in ast.walk(ast.parse(text)) if isinstance(node, ast.Expr)]
    docstrings = {
        number
        for node in texts
        if isinstance(node.value, ast.Constant)
        for number in range(node.lineno, node.end_lineno + 1)
    }
    blank = {tokenize.COMMENT, tokenize.NL, tokenize.NEWLINE, tokenize.INDENT, tokenize.DEDENT, tokenize.ENDMARKER}
    lines = set()
    for token in tokenize.generate_tokens(io.StringIO(text).readline):
        if token.type not in blank:
            lines |= set(range(token.start[0], token.end[0] + 1))
    return len(lines - docstrings)


def test_fusion_and_generated_source_stay_small():
    names = ("nodes", "kernels", "source", "fusion")
    assert sum(code_lines(ROOT / "portnn" / "jit" / "cuda" / f"{name}.py") for name in names) <= 600


def test_no_file_of_the_product_is_long():
    for path in (*ROOT.glob("portnn/**/*.py"), *ROOT.glob("backends/*.py")):
        assert len(path.read_text().splitlines()) <= (150 if path.parent.name == "backends" else 350), path
