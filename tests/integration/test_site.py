"""The documentation's site; CI builds it with scripts/docs."""

import re
from importlib.machinery import SourceFileLoader
from importlib.util import module_from_spec, spec_from_loader

import pytest
from conftest import ROOT
from test_docstrings import MODULES, NAMES

import portnn


@pytest.fixture
def docs():
    """Return scripts/docs as a module."""
    loader = SourceFileLoader("docs", str(ROOT / "scripts" / "docs"))
    module = module_from_spec(spec_from_loader("docs", loader))
    loader.exec_module(module)
    return module


def test_every_public_name_has_a_page(docs, tmp_path):
    assert set(MODULES) - {"portnn.network"} <= set(docs.MODULES)  # its one name is portnn's too
    docs.MODULES = {name: title for name, title in docs.MODULES.items() if name in MODULES}
    docs.reference(tmp_path / "reference")
    pages = {path.stem for path in (tmp_path / "reference").glob("*.rst")} - {"index", *MODULES}
    assert {name.rpartition(".")[2] for name in NAMES.values()} <= {page.rpartition(".")[2] for page in pages}
    text = (tmp_path / "reference" / "portnn.BatchNorm.rst").read_text()
    assert ".. autoclass:: BatchNorm" in text
    assert "portnn.BatchNorm" in (tmp_path / "reference" / "portnn.rst").read_text()
    assert ".. autofunction:: relu" in (tmp_path / "reference" / "activations.rst").read_text()


def test_every_page_is_reached_from_the_front_page():
    index = (ROOT / "docs" / "index.md").read_text()
    pages = {path.relative_to(ROOT / "docs").with_suffix("").as_posix() for path in (ROOT / "docs").rglob("*.md")}
    trees = {page for tree in re.findall(r"^```{toctree}\n(.*?)^```", index, re.M | re.S) for page in tree.split()}
    assert pages - {"index", "reference/options"} <= trees  # those of the reference are reached from its own page


def test_pages_load_nothing_from_elsewhere(docs):
    assert docs.LOADED.findall("<script src=\"https://a.b/c.js\"></script><link href='http://a.b/c.css'>")
    assert not docs.LOADED.findall('<a href="https://a.b/">there</a><img src="_images/a.png">')


def test_links_lead_to_pages_of_the_site(docs):
    links = "[a](../../CONTRIBUTING.md) [b](gpu.md#data) [c](../explanation/limits.md)"
    assert docs.on_site(links, "docs/guides/x.md") == links.replace("../../CONTRIBUTING", "../contributing")
    assert docs.on_site("[a](docs/guides/gpu.md)", "CONTRIBUTING.md") == "[a](guides/gpu.md)"
    assert docs.on_site("[a](../examples/tutorial/README.rst)", "docs/index.md") == "[a](tutorial/index.rst)"
    links = "[a](../../examples/gallery/drift.py) [b](../../LICENSE)"
    assert docs.on_site(links, "docs/guides/x.md") == "[a](../gallery/drift.rst) [b](../../LICENSE)"


def test_the_version_to_cite_is_this_one():
    (version,) = re.findall(r"^version: (.*)$", (ROOT / "CITATION.cff").read_text(), re.M)
    assert version == portnn.__version__


QUESTIONS = {
    "How do I stop early?": ("guides/training.md", "EarlyStopping"),
    "Why do the numbers of my GPU differ?": ("explanation/error-bounds.md", "an order that each library chooses"),
    "How do I add a loss?": ("guides/extend.md", "@portnn.Loss"),
    "How do I go on after a crash?": ("guides/resume.md", "make the same call in a new process"),
    "What if my data are larger than my memory?": ("guides/streaming.md", 'mmap_mode="r"'),
    "Which backend is the fastest for me?": ("guides/backends.md", "## Which one"),
    "What happens to gaps and texts in my table?": ("guides/tables.md", "## What a column becomes"),
    "What is scikit-learn's alpha here?": ("guides/from-scikit-learn.md", "optimizer__l2"),
    "How do I serve predictions without portnn?": ("guides/onnx.md", "onnxruntime.InferenceSession"),
    "Why does my network not learn?": ("guides/dead-units.md", "## What helps"),
}
"""Of new users, with the page that answers each and a part of the answer."""


@pytest.mark.parametrize("question", QUESTIONS)
def test_a_question_is_answered_within_two_clicks(question):
    page, answer = QUESTIONS[question]
    docs = ROOT / "docs"
    clicks = [{docs / "index.md"}]
    for _ in range(2):
        links = {
            (at.parent / to).resolve() for at in clicks[-1] for to in re.findall(r"\]\((\S+?\.md)", at.read_text())
        }
        clicks.append({link for link in links if link.is_relative_to(docs)})
    assert docs / page in clicks[1] | clicks[2]
    assert answer in (docs / page).read_text()
