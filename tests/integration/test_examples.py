"""Every example runs to its end, in an empty folder."""

import ast
import json
import pickle
import re
import runpy
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import portnn

EXAMPLES = Path(__file__).parents[2] / "examples"
NAMES = sorted(path.relative_to(EXAMPLES).as_posix() for path in EXAMPLES.glob("*.py"))
PAGES = sorted(path.relative_to(EXAMPLES).as_posix() for path in EXAMPLES.glob("[tg]*/*.py"))
"""Programs that are pages of the site: of the tutorial and the gallery."""


@pytest.fixture
def run(tmp_path, monkeypatch, capsys):
    """Return a function that runs an example as if it were the main program, in an empty folder."""
    plt = pytest.importorskip("matplotlib.pyplot")

    def started(name: str, *arguments: str) -> str:
        monkeypatch.chdir(tmp_path)
        monkeypatch.setattr(sys, "argv", [str(EXAMPLES / name), *arguments])
        runpy.run_path(str(EXAMPLES / name), run_name="__main__")
        plt.close("all")
        return capsys.readouterr().out

    return started


ELSEWHERE = {"own_parts.py", "every_backend.py", "infer.py", "mnist_best.py", "lenet.py", "tutorial/10_mnist.py"}
"""In tests of their own: below, of the first in tests/test_registry.py, of the second in test_documents.py."""


@pytest.mark.exhaustive
@pytest.mark.parametrize("name", [name for name in [*NAMES, *PAGES] if name not in ELSEWHERE])
def test_example(name, run, tmp_path, monkeypatch):
    if name == "grid_search.py":
        pytest.importorskip("sklearn"), pytest.importorskip("pandas")
    if name == "gallery/drift.py":  # between two libraries, and JAX is slow to compile
        pytest.importorskip("torch")
    backends = portnn.available_backends()
    monkeypatch.setattr(portnn, "available_backends", lambda: [info for info in backends if info.name != "jax"])
    printed = run(name)
    assert printed or name in PAGES
    pictures = [path.stat().st_size for path in tmp_path.glob("*.png")]
    assert (name in PAGES) <= bool(pictures)
    assert not pictures or min(pictures) > 5000


def test_simple_learns(run):
    assert float(run("tutorial/06_simple.py").rsplit("-> ", 1)[1]) < 0.1


def test_one_learning_rate_of_three_learns(run):
    too_small, right, too_large = (
        float(loss) for loss in re.findall(r"-> ([\d.]+)", run("tutorial/07_learning_rates.py"))
    )
    assert right < 0.01
    assert min(too_small, too_large) > 0.9


def test_train_then_infer(run):
    run("train.py", "weights.safetensors")
    lines = run("infer.py", "weights.safetensors").splitlines()
    answers = [float(line.split("-> ")[1]) for line in lines]
    assert answers[0] > 0.5 > answers[1]


def test_infer_reads_the_decks_weights(run, tmp_path):
    rng = np.random.default_rng(0)
    weights = {"W1": rng.random((3, 4)), "W2": rng.random((4, 1))}
    (tmp_path / "weight.txt").write_bytes(pickle.dumps(weights))
    line = run("infer.py", "weight.txt").splitlines()[0]
    hidden = 1 / (1 + np.exp(-(np.array([0, 1, 0]) @ weights["W1"])))
    assert float(line.split("-> ")[1]) == pytest.approx(
        float(1 / (1 + np.exp(-(hidden @ weights["W2"])[0]))), rel=1e-12
    )


def test_examples_are_listed():
    listed = (EXAMPLES / "README.md").read_text()
    assert all(f"`{name}`" in listed for name in NAMES)


@pytest.mark.parametrize("name", PAGES)
def test_pictures_of_the_site_have_an_alternative_text(name):
    """One for each figure that a program makes, at most one a block."""
    for block in (EXAMPLES / name).read_text().split("\n# %%\n"):
        assert ("savefig(" in block) <= ("set_label(" in block or "10_mnist" in name)


@pytest.mark.parametrize("name", ["tutorial/10_mnist.py", "mnist_best.py", "lenet.py"])
def test_mnist_says_what_it_needs(name):
    result = subprocess.run([sys.executable, EXAMPLES / name], capture_output=True, text=True, check=False)
    assert result.returncode == 1
    assert "TRAIN_IMAGES" in result.stderr


@pytest.mark.exhaustive
def test_the_notebook_runs_and_shows_its_objects(tmp_path, monkeypatch):
    """Cell by cell as a notebook does: the value of a last expression is shown, unless a semicolon ends the cell."""
    plt = pytest.importorskip("matplotlib.pyplot")
    (tmp_path / "data").symlink_to(EXAMPLES / "data")
    monkeypatch.chdir(tmp_path)
    notebook = json.loads((EXAMPLES / "notebook.ipynb").read_text())
    assert not any(cell.get("outputs") for cell in notebook["cells"])
    names, shown = {}, []
    for cell in notebook["cells"]:
        if cell["cell_type"] != "code":
            continue
        source = "".join(cell["source"])
        if "compare(" in source:
            source = source.replace("steps=1)", 'steps=1, backends=["array_api_strict"])')
        *body, last = ast.parse(source).body
        exec(compile(ast.Module(body, []), "notebook.ipynb", "exec"), names)
        if isinstance(last, ast.Expr):
            value = eval(compile(ast.Expression(last.value), "notebook.ipynb", "eval"), names)
            shown += [] if source.endswith(";") else [value._repr_html_()]
        else:
            exec(compile(ast.Module([last], []), "notebook.ipynb", "exec"), names)
    assert len(shown) == 3
    assert "Equivalence of backends: agree" in shown[2]
    assert names["history"].metrics["validation_accuracy"][-1] > 0.9
    assert len(plt.get_fignums()) == 2
    plt.close("all")
