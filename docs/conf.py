"""The site's configuration; scripts/docs builds it."""

import re
from typing import Any

import portnn

project, author, release = "portnn", "the authors of portnn", portnn.__version__
extensions = ["myst_parser", "sphinx.ext.autodoc", "numpydoc", "sphinx.ext.viewcode"]
html_theme = "furo"
html_title = f"portnn {release}"
html_show_sphinx = html_show_copyright = html_copy_source = False
exclude_patterns = ["conf.py"]
myst_heading_anchors = 3
autodoc_member_order = "groupwise"
autodoc_typehints = "none"  # docstrings have the types in words
numpydoc_show_class_members = False
nitpick_ignore_regex = [("py:.*", r".*")]  # words such as "array of shape (rows,)" are no names


def escaped(app: Any, what: str, name: str, thing: Any, options: Any, lines: list[str]) -> None:
    """Let bars of formulas stand: reStructuredText takes what is between two of them for a substitution."""
    lines[:] = [line if ">>>" in line else re.sub(r"(?<!`)\\?\|(?!`)", r"\\|", line) for line in lines]


def foreign(app: Any, what: str, name: str, thing: Any, skip: bool, options: Any) -> bool | None:
    """Leave out members that another package documents: scikit-learn's."""
    module = getattr(getattr(thing, "fget", None) or thing, "__module__", None) or "portnn"
    return None if module.startswith("portnn") else True


def setup(app: Any) -> None:
    """Register the hooks."""
    app.connect("autodoc-skip-member", foreign)
    app.connect("autodoc-process-docstring", escaped, priority=999)
