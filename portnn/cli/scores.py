"""How well a network does, as the command line says it: the score, what guessing would score, and each class."""

import shutil
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from portnn.data.labels import codes_of, labels_of
from portnn.io.categories import Label, as_text
from portnn.io.tables import Table
from portnn.metrics import METRICS, confusion_matrix, per_class
from portnn.network import NeuralNetwork

FEW, UNEQUAL, MANY = 5, 3.0, 20
"""Classes are shown one by one where they are FEW, or the largest has UNEQUAL times the rows of the smallest; MANY
are not."""

SCORES, WORST = 37, 5
"""Characters that the scores of a class take beside its name; confusions that are shown without a table of all."""

Results = dict[str, Any]
"""Plain JSON values by name, as ``--json`` prints them."""


def majority_baseline(classes: Sequence[Label] | None, y: Table | np.ndarray) -> dict[str, Any]:
    """Return what a model without features would say, learnt from targets to train on, as a plain JSON value.

    {"guess": the most frequent class, as its place among the classes, or the mean}.
    """
    values, codes = _values(classes, y)
    return {"guess": int(np.bincount(values).argmax()) if codes else float(np.mean(values))}


def _values(classes: Sequence[Label] | None, y: Table | np.ndarray) -> tuple[np.ndarray, bool]:
    """Return targets as places among the classes, or as numbers, (rows,), and which of the two."""
    labels = labels_of(y)
    if labels is not None:
        return (labels.astype(np.int64) if classes is None else codes_of(labels, classes, "y")), True
    return y.numbers(list(y.columns))[:, 0] if isinstance(y, Table) else y, False


def scores(network: NeuralNetwork, metric: str, x: Table, y: Table | np.ndarray) -> Results:
    """Return how well the network does on features and targets, labels or numbers.

    {metric, "rows", "baseline", "guess", "loss"}, and where classes have names {"classes", "precision", "recall", "f1",
    "confusion_matrix"}, lists in their order; a row of the matrix is a class. A model that was saved without what
    guessing says is compared with guesses from these very targets.
    """
    values, codes = _values(network.classes, y)
    measured = network.evaluate(x, y, metrics=[metric])
    known = network.metadata.get("guess", majority_baseline(network.classes, y)["guess"])
    found: Results = {metric: measured[metric], "rows": len(values)}
    classes = list(map(as_text, network.classes or ()))
    if codes:
        found |= {"baseline": float(np.mean(values == known)), "guess": classes[known] if classes else known}
    else:
        always = np.full((len(values), 1), known)
        found |= {"baseline": METRICS[metric]()(always, values[:, None]), "guess": known}
    found["loss"] = measured["loss"]
    if codes:
        outputs = np.asarray(network.predict(x))
        each = per_class(outputs, values)
        classes = classes or list(map(str, range(max(outputs.shape[1], 2))))
        found |= {"classes": classes, **{score: each[score].tolist() for score in ("precision", "recall", "f1")}}
        found["confusion_matrix"] = confusion_matrix(outputs, values).tolist()
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
    """Yield a table: a row for each class with its scores, and for which classes its rows were taken.

    Where the terminal is too narrow for these, the WORST of them follow by themselves.
    """
    width = shutil.get_terminal_size().columns
    classes, matrix = [_cut(name, max(12, width - SCORES)) for name in found["classes"]], found["confusion_matrix"]
    wide = max(12, *map(len, classes))
    columns = [max(7, len(name)) for name in classes]
    whole = wide + SCORES + len("  taken for") + sum(column + 2 for column in columns) <= width
    taken = "  taken for" + "".join(f"  {name:>{column}}" for name, column in zip(classes, columns, strict=True))
    yield f"{'class':<{wide}} precision   recall       f1     rows{taken * whole}"
    for i, name in enumerate(classes):
        figures = "  ".join(f"{found[score][i]:7.4f}" for score in ("precision", "recall", "f1"))
        row = " " * 11 + "".join(f"  {n:>{column}}" for n, column in zip(matrix[i], columns, strict=True))
        yield f"{name:<{wide}}   {figures}  {counts[i]:7d}{row * whole}"
    if not whole:
        pairs = [(matrix[i][j], i, j) for i in range(len(classes)) for j in range(len(classes)) if i != j]
        for n, i, j in sorted(pairs, key=lambda pair: -pair[0])[:WORST]:
            if n:
                said = f"mistaken     {n} of {counts[i]} rows of {found['classes'][i]} for {found['classes'][j]}"
                yield _cut(said, width)


def _cut(text: str, width: int) -> str:
    return text if len(text) <= width else f"{text[: width - 3]}..."
