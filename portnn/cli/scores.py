"""How well a network does, as the command line says it: the score, what guessing would score, and each class."""

from collections.abc import Iterator
from typing import Any

import click
import numpy as np

from portnn.metrics import METRICS, confusion_matrix, per_class
from portnn.network import NeuralNetwork

FEW, UNEQUAL, MANY = 5, 3.0, 20
"""Classes are shown one by one where they are FEW, or the largest has UNEQUAL times the rows of the smallest; MANY
are not."""


def guess(y: np.ndarray, codes: bool) -> dict[str, Any]:
    """Return what a model without features would say, learnt from targets to train on, as a plain JSON value."""
    return {"guess": int(np.bincount(y).argmax()) if codes else float(np.mean(y))}


def show_scores(network: NeuralNetwork, metric: str, x: np.ndarray, y: np.ndarray, kind: str = "") -> None:
    """Print how well the network does on features and targets, (rows,); ``kind`` of rows ends the first line.

    A model that was saved without what guessing says is compared with guesses from these very targets.
    """
    outputs = np.asarray(network.predict(x))
    classes = network.metadata.get("classes") or []
    codes = bool(classes) or y.dtype.kind == "i"
    values = y if codes else y.reshape(len(y), -1)
    click.echo(f"{metric:<12} {METRICS[metric](outputs, values):.4f} on {len(y)} rows{kind}")
    known = network.metadata.get("guess", guess(y, codes)["guess"])
    if codes:
        name = classes[known] if classes else known
        click.echo(f"baseline     {np.mean(y == known):.4f} by guessing {name} always")
    else:
        guessed = METRICS[metric](np.full(values.shape, known), values)
        click.echo(f"baseline     {guessed:.4f} by guessing the mean")
    click.echo(f"loss         {network.evaluate(x, y)['loss']:.6g}")
    counts = np.bincount(y, minlength=len(classes)) if classes else np.zeros(1)
    if classes and len(classes) <= MANY and (len(classes) <= FEW or counts.max() > UNEQUAL * counts.min()):
        for line in by_class(outputs, y, classes):
            click.echo(line)


def by_class(outputs: np.ndarray, y: np.ndarray, classes: list[str]) -> Iterator[str]:
    """Yield a table: a row for each class with its scores, and for which classes its rows were taken."""
    scores, matrix = per_class(outputs, y), confusion_matrix(outputs, y)
    wide = max(12, *map(len, classes))
    columns = [max(7, len(name)) for name in classes]
    taken = "  ".join(f"{name:>{width}}" for name, width in zip(classes, columns, strict=True))
    yield f"{'class':<{wide}} precision   recall       f1     rows  taken for  {taken}"
    for i, name in enumerate(classes):
        figures = "  ".join(f"{scores[score][i]:7.4f}" for score in ("precision", "recall", "f1"))
        counts = "  ".join(f"{count:>{width}}" for count, width in zip(matrix[i], columns, strict=True))
        yield f"{name:<{wide}}   {figures}  {int(scores['support'][i]):7d}             {counts}"
