"""How the pictures of the tutorial and the gallery are drawn and saved, while the site is built."""

from typing import Any

import matplotlib as mpl
from matplotlib import pyplot as plt
from sphinx_gallery.scrapers import figure_rst

GREY, DARK = "#7d7d7d", "#303030"
"""Legible on white and on black; on white alone."""
STYLE = {
    "figure.facecolor": "none",
    "axes.facecolor": "none",
    "savefig.facecolor": "none",
    "text.color": GREY,
    "axes.labelcolor": GREY,
    "axes.edgecolor": GREY,
    "xtick.color": GREY,
    "ytick.color": GREY,
    "legend.facecolor": "white",
    "legend.labelcolor": DARK,
}
"""Of pictures that are drawn while the site is built: its pages are light or dark."""


def style(config: dict[str, Any], name: str) -> None:
    """Set the style before an example runs."""
    mpl.rcParams.update(STYLE)


def scrape(block: Any, names: dict[str, Any], config: dict[str, Any]) -> str:
    """Save the figures of a block, each with its label as alternative text. Raises ValueError where one has none."""
    paths = names["image_path_iterator"]
    shown = []
    for number in plt.get_fignums():
        figure, path = plt.figure(number), next(paths)
        if not figure.get_label():
            raise ValueError(f"{names['src_file']}: figure {number} has no alternative text: figure.set_label(...)")
        figure.savefig(path, dpi=100)
        shown.append(figure_rst([path], config["src_dir"], figure.get_label()))
    plt.close("all")
    return "".join(shown)
