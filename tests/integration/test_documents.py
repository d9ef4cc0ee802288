"""What the documents say: every block runs."""

import gzip
import json
import re
import runpy
import shlex
import struct
import subprocess
import sys
import tomllib
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

import portnn
from portnn.cli import main
from portnn.numerics.bounds import ULPS
from portnn.ops import CORE

ROOT = Path(__file__).parents[2]
ELSEWHERE = {"docs/guides/test-equivalence.md"}  # a project, in a test of its own
PAGES = sorted(path.relative_to(ROOT).as_posix() for path in (ROOT / "docs").rglob("*.md"))
DOCUMENTS = (
    "README.md",
    "CONTRIBUTING.md",
    "SECURITY.md",
    "examples/README.md",
    *(page for page in PAGES if page not in ELSEWHERE),
)
BLOCKS = [
    (document, language, block)
    for document in DOCUMENTS
    for language, block in re.findall(r"^```([^\n]*)\n(.*?)^```", (ROOT / document).read_text(), re.M | re.S)
]
PYTHON = {
    name: [block for document, language, block in BLOCKS if (document, language) == (name, "python")]
    for name in DOCUMENTS
}
SHELL = {
    name: [
        line.split("  #")[0].strip()
        for document, language, block in BLOCKS
        if (document, language) == (name, "sh")
        for line in block.replace("\\\n", "").splitlines()
    ]
    for name in DOCUMENTS
}
IN_CI = {
    "pip install -e . && portnn train examples/data/digits.csv --target label --hidden 128 --epochs 30": "portnn train",
    "pip install -e '.[test]' && pytest -n 2": "pip install -e '.[test]' && pytest",
    "pip install -e '.[dev]'": "pip install -q torch==2.13.0 jax optax -e '.[dev]'",
    "scripts/check": "scripts/check",
}
"""Commands that install or run this suite: CI's lines run them."""


def test_the_table_of_times_is_the_newest_records():
    folder = ROOT / "benchmarks"
    newest = sorted(str(path) for path in (folder / "records").glob("20*.json"))[-1]
    command = [sys.executable, str(folder / "table.py"), newest, "--summary"]
    table = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    assert table.count("\n") > 5
    assert table in (ROOT / "docs" / "explanation" / "performance.md").read_text()
    assert Path(newest).stem in (ROOT / "docs" / "explanation" / "performance.md").read_text()


def test_the_table_of_a_gpus_times_is_the_newest_records():
    newest = sorted((ROOT / "benchmarks" / "records").glob("gpu-*.json"))[-1]
    record, page = json.loads(newest.read_text()), (ROOT / "docs" / "explanation" / "performance.md").read_text()
    assert f"benchmarks/records/{newest.name}" in (ROOT / "docs" / "explanation" / "platforms.md").read_text()
    for title, times in record["milliseconds per step"].items():
        order = ("numpy", "cupy", "jax", "torch:cuda:0", "torch's own loop")
        cells = [f"{times[name]:.1f}" if times[name] >= 10 else f"{times[name]:.2f}" for name in order]
        assert f"| {title} | {' | '.join(cells)} |" in page
    passed, failed = (
        int(re.search(rf"(\d+) {word}", record["proofs"]["tests"]["output"])[1]) for word in ("passed", "failed")
    )
    assert (passed + failed, failed) == (3156, 2)  # as the page says
    assert all(proof["exit_code"] == 0 for name, proof in record["proofs"].items() if name != "tests")


@pytest.mark.exhaustive
@pytest.mark.parametrize("document", [name for name, blocks in PYTHON.items() if blocks])
def test_python_blocks_run(tmp_path, document, monkeypatch):
    """One after the other, in one folder; those that register parts of their own in processes of their own."""
    (tmp_path / "examples").symlink_to(ROOT / "examples")
    monkeypatch.chdir(tmp_path)
    for block in PYTHON[document]:
        for module in re.findall(r"^(?:from|import) (?:portnn\.)?(sklearn|onnxruntime|torch)\b", block, re.M):
            pytest.importorskip(module)
        if "register" not in block:
            exec(compile(block, document, "exec"), {"__name__": "__main__"})
            continue
        command = [sys.executable, "-W", "error::RuntimeWarning", "-c", block]
        result = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
        assert result.returncode == 0, result.stdout + result.stderr
    if "matplotlib.pyplot" in sys.modules:
        sys.modules["matplotlib.pyplot"].close("all")


def test_the_transcript_is_what_the_example_prints(tmp_path):
    """One seed, one start: of the libraries that are here."""
    shown = re.findall(
        r"^(\w+) +start (\w+), loss ([\d.]+), ", (ROOT / "docs" / "guides" / "verifying.md").read_text(), re.M
    )
    # Warnings of other libraries' imports are not the example's; those of NumPy's arithmetic are.
    command = [sys.executable, "-W", "error::RuntimeWarning", str(ROOT / "examples" / "every_backend.py")]
    result = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stdout + result.stderr
    printed = dict(line.split(maxsplit=1) for line in result.stdout.splitlines())
    assert {name for name, _, _ in shown} == {"numpy", "jax", "torch"}
    for name, start, loss in shown:
        # The start is the seed's, to the bit; the loss is each library's and machine's own in its last digits.
        assert printed[name].startswith((f"start {start}, loss {loss[:5]}", "not run:"))


QUICKLY = ("--steps", "1", "--dtype", "float32")


def _light(argument: str) -> str:
    """Return an argument with the backend that is always here and starts at once for those that may be missing."""
    return {
        "torch": "array_api_strict",
        "torch,jax": "array_api_strict",
        "numpy,torch,jax": "numpy,array_api_strict",
    }.get(argument, argument)


@pytest.mark.parametrize("document", ["README.md", "docs/guides/verifying.md"])
def test_the_transcripts_commands_say_what_it_shows(tmp_path, monkeypatch, document):
    """The lines of portnn in a page's transcript, with fewer steps."""
    (tmp_path / "examples").symlink_to(ROOT / "examples")
    monkeypatch.chdir(tmp_path)
    page = (ROOT / document).read_text()
    train, *checks = re.findall(r"^\$ portnn (.*)$", page, re.MULTILINE)
    shown = float(re.search(r"^accuracy +([\d.]+) ", page, re.MULTILINE)[1])
    result = CliRunner().invoke(main, [*train.split(), "--plot", "loss.png"])
    assert result.exit_code == 0, result.output
    # The last digits are the machine's: its BLAS may put a row or two on the other side.
    assert float(re.search(r"^accuracy +([\d.]+) ", result.stdout, re.MULTILINE)[1]) == pytest.approx(shown, abs=0.01)
    for check in checks:
        verdict = "all bits are equal" if "--bits" in check else "every bound holds"
        words = [_light(word) for word in check.replace("--steps 200", "--steps 3").split()]
        result = CliRunner().invoke(main, words)
        assert result.exit_code == 0, result.output
        assert result.stdout.rstrip().endswith(verdict)
    assert (tmp_path / "drift.png").is_file() == ("drift.png" in page)


def test_the_page_of_tables_shows_what_the_commands_say(tmp_path, monkeypatch):
    """One after the other; each line that it shows is said, but for figures, whose last digits are the machine's."""
    (tmp_path / "examples").symlink_to(ROOT / "examples")
    monkeypatch.chdir(tmp_path)
    (transcript,) = re.findall(r"^```console\n(.*?)^```", (ROOT / "docs/guides/tables.md").read_text(), re.M | re.S)
    for part in transcript.split("$ portnn ")[1:]:
        command, *shown = part.splitlines()
        result = CliRunner().invoke(main, shlex.split(command))
        assert result.exit_code == 0, result.output
        said = {re.sub(r"-?\d\.\d+", "?", line) for line in (result.stdout + result.stderr).splitlines()}
        assert {re.sub(r"-?\d\.\d+", "?", line) for line in shown} <= said


@pytest.mark.exhaustive
@pytest.mark.parametrize("document", [name for name, commands in SHELL.items() if commands])
def test_shell_blocks_run(tmp_path, monkeypatch, document):
    """What portnn is told there, it does, one after the other; small files of MNIST's format stand for MNIST's."""
    for name, header in (("train", (60, 12, 12)), ("t10k", (30, 12, 12))):
        for kind, shape in (("images-idx3", header), ("labels-idx1", header[:1])):
            values = np.random.default_rng(0).integers(0, 10, shape, np.uint8)
            content = struct.pack(f">I{len(shape)}I", 0x800 + len(shape), *shape) + values.tobytes()
            (tmp_path / f"{name}-{kind}-ubyte.gz").write_bytes(gzip.compress(content))
    (tmp_path / "examples").symlink_to(ROOT / "examples")
    monkeypatch.chdir(tmp_path)
    for command in SHELL[document]:
        if command in IN_CI:
            if (ROOT / ".ci").is_dir():
                assert IN_CI[command] in (ROOT / ".ci" / "run").read_text()
            continue
        program, *arguments = shlex.split(command)
        assert program == "portnn"
        words = [_light(argument) for argument in arguments]
        result = CliRunner().invoke(
            main, [*words, *QUICKLY] if "--backends" in words and "--steps" not in words else words
        )
        assert result.exit_code == 0, result.output


def test_contributing_names_the_entry_points():
    (block,) = [block for _, language, block in BLOCKS if language == "toml"]
    (group,) = tomllib.loads(block)["project"]["entry-points"]
    assert group == portnn.backend.registry.GROUP


def test_contributings_commands_are_cis():
    """Those within its sentences: with the variables and arguments that CI's own lines give."""
    text = " ".join((ROOT / "CONTRIBUTING.md").read_text().split())
    assert "python tests/planted_faults.py" in text
    standin = re.search(r"`(PYTHONPATH=\$PWD/tests pytest[^`]*)`", text)[1]
    if (ROOT / ".ci").is_dir():
        run = (ROOT / ".ci" / "run").read_text()
        assert standin.split(" --portnn-require")[0].replace("pytest", "pytest -q") in run
        assert "python tests/planted_faults.py --quick" in run


def test_the_front_page_is_short_and_leads_to_the_documentation():
    readme = (ROOT / "README.md").read_text()
    assert len(readme.splitlines()) <= 90
    assert max(map(len, readme.splitlines())) <= 100
    assert {"docs/index.md", "examples/README.md", "CONTRIBUTING.md"} <= set(re.findall(r"\]\(([\w./-]+)\)", readme))


@pytest.mark.parametrize("page", [page for page in PAGES if page != "docs/reference/options.md"])
def test_pages_are_short(page):
    """A page that is made from docstrings is as long as they are."""
    assert len((ROOT / page).read_text().split()) <= 1500


def test_links_lead_to_files():
    for page in {*DOCUMENTS, *PAGES}:
        for link in re.findall(r"\]\((?!http)([\w./-]+)(?:#[\w-]+)?\)", (ROOT / page).read_text()):
            assert (ROOT / page).parent.joinpath(link).exists(), f"{page}: {link}"


def test_no_block_is_of_another_kind():
    assert {language for _, language, _ in BLOCKS} == {"python", "sh", "console", "text", "toml", "{toctree}"}
    assert PYTHON["README.md"]


@pytest.mark.parametrize("path", ["docs/explanation/accuracy.md", "benchmarks/records/gpu-2026-11-26-accuracy.md"])
def test_the_pages_of_accuracies_are_within_the_bounds(path):
    """python scripts/accuracy.py > docs/explanation/accuracy.md: of each function, on whatever machine it was made."""
    page = (ROOT / path).read_text()
    rows = re.findall(r"^\| (\w+) \| ([\d. |]+) \| ([\d.]+) \|$", page, re.MULTILINE)
    assert [name for name, *_ in rows] == 2 * [*(name for name in ULPS if name != "divide"), "sum", "matmul"]
    for name, errors, granted in rows:
        assert float(granted) == ULPS.get(name, 784**0.5)
        assert 0 < max(map(float, errors.split(" | "))) <= float(granted)


def test_the_page_of_options_is_made_from_the_docstrings():
    """python scripts/options.py > docs/reference/options.md"""
    script = runpy.run_path(str(ROOT / "scripts" / "options.py"))
    assert script["page"]() == (ROOT / "docs" / "reference" / "options.md").read_text()


def test_functions_with_a_bound_are_listed():
    listed = (ROOT / "docs" / "guides" / "test-equivalence.md").read_text().partition("## Functions with a bound")[2]
    assert all(re.search(rf"\b{name}\b", listed.partition("##")[0]) for name in CORE)
