"""How well a network does, as the command line says it: the score, what guessing would score, and each class."""

from collections.abc import Iterator
from typing import Any

import numpy as np

from portnn.metrics import METRICS, confusion_matrix, per_class
from portnn.network import NeuralNetwork

FEW, UNEQUAL, MANY = 5, 3.0, 20
"""Classes are shown one by one where they are FEW, or the largest has UNEQUAL times the rows of the smallest; MANY
are not."""

Results = dict[str, Any]
"""Plain JSON values by name, as ``--json`` prints them."""


def guess(y: np.ndarray, codes: bool) -> dict[str, Any]:
    """Return what a model without features would say, learnt from targets to train on, as a plain JSON value."""
    return {"guess": int(np.bincount(y).argmax()) if codes else float(np.mean(y))}


def scores(network: NeuralNetwork, metric: str, x: np.ndarray, y: np.ndarray) -> Results:
    """Return how well the network does on features and targets, (rows,).

    {metric, "rows", "baseline", "guess", "loss"}, and where classes have names {"classes", "precision", "recall", "f1",
    "confusion_matrix"}, lists in their order; a row of the matrix is a class. A model that was saved without what
    guessing says is compared with guesses from these very targets.
    """
    outputs = np.asarray(network.predict(x))
    classes = network.metadata.get("classes") or []
    codes = bool(classes) or y.dtype.kind == "i"
    values = y if codes else y.reshape(len(y), -1)
    known = network.metadata.get("guess", guess(y, codes)["guess"])
    found: Results = {metric: METRICS[metric](outputs, values), "rows": len(y)}
    if codes:
        found |= {"baseline": float(np.mean(y == known)), "guess": classes[known] if classes else known}
    else:
        found |= {"baseline": METRICS[metric](np.full(values.shape, known), values), "guess": known}
    found["loss"] = network.evaluate(x, y)["loss"]
    if classes:
        each = per_class(outputs, y)
        found |= {"classes": classes, **{score: each[score].tolist() for score in ("precision", "recall", "f1")}}
        found["confusion_matrix"] = confusion_matrix(outputs, y).tolist()
    return found


def score_lines(found: Results, metric: str, kind: str = "") -> Iterator[str]:
    """Yield what ``scores`` found as lines; ``kind`` of rows ends the first."""
    classes, always = found.get("classes", []), f"{found['guess']} always" if metric == "accuracy" else "the mean"
    yield f"{metric:<12} {found[metric]:.4f} on {found['rows']} rows{kind}"
    yield f"baseline     {found['baseline']:.4f} by guessing {always}"
    yield f"loss         {found['loss']:.6g}"
    counts = np.sum(found["confusion_matrix"], axis=1) if classes else np.zeros(1)
    if classes and len(classes) <= MANY and (len(classes) <= FEW or counts.max() > UNEQUAL * counts.min()):
        yield from _class_lines(found, counts)


def _class_lines(found: Results, counts: np.ndarray) -> Iterator[str]:
    """Yield a table: a row for each class with its scores, and for which classes its rows were taken."""
    classes = found["classes"]
    wide = max(12, *map(len, classes))
    columns = [max(7, len(name)) for name in classes]
    taken = "  ".join(f"{name:>{width}}" for name, width in zip(classes, columns, strict=True))
    yield f"{'class':<{wide}} precision   recall       f1     rows  taken for  {taken}"
    for i, name in enumerate(classes):
        figures = "  ".join(f"{found[score][i]:7.4f}" for score in ("precision", "recall", "f1"))
        row = zip(found["confusion_matrix"][i], columns, strict=True)
        yield f"{name:<{wide}}   {figures}  {counts[i]:7d}             {'  '.join(f'{n:>{w}}' for n, w in row)}"
