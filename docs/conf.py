"""The site's configuration; scripts/docs builds it."""

import re
import sys
from pathlib import Path
from typing import Any

from docutils import nodes
from docutils.utils.math.latex2mathml import tex2mathml

import portnn

sys.path.insert(0, str(Path(__file__).parent))  # pictures.py
project, author, release = "portnn", "the authors of portnn", portnn.__version__
extensions = [
    "myst_parser",
    "numpydoc",
    "sphinx.ext.autodoc",
    "sphinx.ext.viewcode",
    "sphinx_click",
    "sphinx_gallery.gen_gallery",
]
html_theme = "furo"
html_title = f"portnn {release}"
html_show_sphinx = html_show_copyright = html_copy_source = html_show_sourcelink = False
html_math_renderer = "mathml"
smartquotes = False  # they make one dash of the two of an option
html_static_path = ["site.css"]
html_css_files = ["site.css"]
myst_enable_extensions = ["dollarmath"]
myst_heading_anchors = 3
autodoc_member_order = "groupwise"
autodoc_typehints = "none"  # docstrings have the types in words
numpydoc_show_class_members = False
nitpick_ignore_regex = [("py:.*", r".*")]  # words such as "array of shape (rows,)" are no names

ROOT = Path(__file__).parents[1]
sphinx_gallery_conf = {
    "examples_dirs": [str(ROOT / "examples" / name) for name in ("tutorial", "gallery")],
    "gallery_dirs": ["tutorial", "gallery"],
    "filename_pattern": r"(tutorial|gallery)/(?!10_mnist)\w+\.py$",  # that one needs files of MNIST
    "within_subsection_order": "FileNameSortKey",
    "image_scrapers": ("pictures.scrape",),
    "reset_modules": ("matplotlib", "pictures.style"),
    "capture_repr": ("_repr_html_",),
    "download_all_examples": False,
    "show_signature": False,
    "remove_config_comments": True,
    "write_computation_times": False,
    "min_reported_time": 1000,
}


def mathml(writer: Any, node: nodes.math | nodes.math_block) -> None:
    """Write a formula as MathML, which browsers typeset by themselves."""
    block = isinstance(node, nodes.math_block)
    text = node.astext()
    if block and r"\\" in re.sub(r"\\begin{cases}.*?\\end{cases}", "", text, flags=re.S):
        text = rf"\begin{{aligned}}{text}\end{{aligned}}"
    writer.body.append(tex2mathml(text, as_block=block))
    raise nodes.SkipNode


def escaped(app: Any, what: str, name: str, thing: Any, options: Any, lines: list[str]) -> None:
    """Let bars in sentences stand: reStructuredText takes what is between two of them for a substitution."""
    lines[:] = [line if ">>>" in line else re.sub(r"(?<!`)\\?\|(?!`)", r"\\|", line) for line in lines]


def foreign(app: Any, what: str, name: str, thing: Any, skip: bool, options: Any) -> bool | None:
    """Leave out members that another package documents, scikit-learn's, and old names of what has a new one."""
    function = getattr(thing, "fget", None) or thing
    module = getattr(function, "__module__", None) or "portnn"
    return None if module.startswith("portnn") and getattr(function, "__name__", name) == name else True


def setup(app: Any) -> None:
    """Register the hooks."""
    app.add_html_math_renderer("mathml", inline_renderers=(mathml, None), block_renderers=(mathml, None))
    app.connect("autodoc-skip-member", foreign)
    app.connect("autodoc-process-docstring", escaped, priority=999)
