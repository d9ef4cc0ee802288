"""A network's scores for the command line: metric, baseline, and each class."""

import shutil
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from portnn.data.labels import codes_of, labels_of
from portnn.data.task import Data
from portnn.io.categories import Label, as_text
from portnn.io.tables import Table
from portnn.metrics import METRICS, confusion_matrix, per_class
from portnn.network import NeuralNetwork
from portnn.train.history import History

FEW, UNEQUAL, MANY = 5, 3.0, 20
"""Scores by class are shown for up to FEW classes, or if the largest class has UNEQUAL times the rows of the smallest;
never for MANY classes.
"""

SCORES, WORST = 37, 5
"""Width of the scores of a class beside its name; number of confusions that are listed if the table does not fit."""

Results = dict[str, Any]
"""Plain JSON values by name, as ``--json`` prints them."""


def majority_baseline(classes: Sequence[Label] | None, y: Table | np.ndarray) -> dict[str, Any]:
    """Return the prediction of a model without features, from training targets, as a plain JSON value.

    {"guess": the index of the most frequent class, or the mean}.
    """
    values, codes = _values(classes, y)
    return {"guess": int(np.bincount(values).argmax()) if codes else float(np.mean(values))}


def _values(classes: Sequence[Label] | None, y: Table | np.ndarray) -> tuple[np.ndarray, bool]:
    """Return targets as class indices or numbers, (rows,), and whether they are classes."""
    labels = labels_of(y)
    if labels is not None:
        return (labels.astype(np.int64) if classes is None else codes_of(labels, classes, "y")), True
    return y.numbers(list(y.columns))[:, 0] if isinstance(y, Table) else y, False


def scores(network: NeuralNetwork, metric: str, x: Table, y: Table | np.ndarray) -> Results:
    """Return the network's scores on features and targets, labels or numbers.

    {metric, "rows", "baseline", "guess", "loss"}, and for named classes {"classes", "precision", "recall", "f1",
    "confusion_matrix"}, lists in the order of the classes; a row of the matrix is a class. For a model that was saved
    without its guess, the baseline guesses from these targets.
    """
    values, codes = _values(network.classes, y)
    measured = network.evaluate(x, y, metrics=[metric])
    guess = network.metadata.get("guess", majority_baseline(network.classes, y)["guess"])
    results: Results = {metric: measured[metric], "rows": len(values)}
    classes = list(map(as_text, network.classes or ()))
    if codes:
        results |= {"baseline": float(np.mean(values == guess)), "guess": classes[guess] if classes else guess}
    else:
        always = np.full((len(values), 1), guess)
        results |= {"baseline": METRICS[metric]()(always, values[:, None]), "guess": guess}
    results["loss"] = measured["loss"]
    if codes:
        outputs = np.asarray(network.predict(x))
        by_class = per_class(outputs, values)
        classes = classes or list(map(str, range(max(outputs.shape[1], 2))))
        results |= {"classes": classes, **{score: by_class[score].tolist() for score in ("precision", "recall", "f1")}}
        results["confusion_matrix"] = confusion_matrix(outputs, values).tolist()
    return results


def score_lines(results: Results, metric: str, suffix: str = "") -> Iterator[str]:
    """Yield the results of ``scores`` as lines; ``suffix`` ends the first one."""
    classes, always = results.get("classes", []), f"{results['guess']} always" if metric == "accuracy" else "the mean"
    yield f"{metric:<12} {results[metric]:.4f} on {results['rows']} rows{suffix}"
    yield f"baseline     {results['baseline']:.4f} by guessing {always}"
    yield f"loss         {results['loss']:.6g}"
    counts = np.sum(results["confusion_matrix"], axis=1) if classes else np.zeros(1)
    if classes and len(classes) <= MANY and (len(classes) <= FEW or counts.max() > UNEQUAL * counts.min()):
        yield from _class_lines(results, counts)


def _class_lines(results: Results, counts: np.ndarray) -> Iterator[str]:
    """Yield a table with the scores of each class and the counts of its rows by predicted class.

    If the terminal is too narrow for the counts, the WORST confusions follow as lines.
    """
    width = shutil.get_terminal_size().columns
    classes, matrix = [_cut(name, max(12, width - SCORES)) for name in results["classes"]], results["confusion_matrix"]
    name_width = max(12, *map(len, classes))
    columns = [max(7, len(name)) for name in classes]
    fits = name_width + SCORES + len("  taken for") + sum(column + 2 for column in columns) <= width
    header = "  taken for" + "".join(f"  {name:>{column}}" for name, column in zip(classes, columns, strict=True))
    yield f"{'class':<{name_width}} precision   recall       f1     rows{header * fits}"
    for i, name in enumerate(classes):
        figures = "  ".join(f"{results[score][i]:7.4f}" for score in ("precision", "recall", "f1"))
        row = " " * 11 + "".join(f"  {n:>{column}}" for n, column in zip(matrix[i], columns, strict=True))
        yield f"{name:<{name_width}}   {figures}  {counts[i]:7d}{row * fits}"
    if not fits:
        pairs = [(matrix[i][j], i, j) for i in range(len(classes)) for j in range(len(classes)) if i != j]
        for n, i, j in sorted(pairs, key=lambda pair: -pair[0])[:WORST]:
            if n:
                line = f"mistaken     {n} of {counts[i]} rows of {results['classes'][i]} for {results['classes'][j]}"
                yield _cut(line, width)


def _cut(text: str, width: int) -> str:
    return text if len(text) <= width else f"{text[: width - 3]}..."


def tested(
    network: NeuralNetwork, metric: str, rows: Data, trained_on: bool | None, fit: Results
) -> tuple[Results, list[str]]:
    """Return the network's scores on the test rows with figures of the ``fit``, as values and as lines.

    ``trained_on``: whether it was trained on these rows; None: possibly.
    """
    clause = {True: " trained on", False: " not trained on", None: ", which the model may have been trained on before"}
    results = {"backend": network.backend, **scores(network, metric, rows.x_test, rows.y_test)}
    lines = [f"backend      {network.backend}", *score_lines(results, metric, clause[trained_on])]
    lines.append(f"time         {fit['seconds']:.2f} s for {fit['epochs']} epochs")
    results |= {"trained_on_test": trained_on, **fit}
    if best := best_epoch(network.history):
        lines.append(f"best         epoch {best}, by the loss of the validation")
        results["best_epoch"] = best
    results["fingerprint"] = network.fingerprint()
    return results, [*lines, f"fingerprint  {results['fingerprint']}"]


def best_epoch(history: History) -> int | None:
    """Return the epoch, from 1, with the least validation loss; None without a validation."""
    losses = history.metrics.get("validation_loss")
    return 1 + losses.index(min(losses)) if losses else None
