"""The command line's defaults beside scikit-learn's network on small tables: python benchmarks/small_data.py [SEEDS]

Ten seeds by default; each sets the rows that are held out and the initial weights. Prints mean and standard error of
the accuracy (diabetes: r2), and exits with 1 where ours is lower by more than one standard error of the difference.
"""

import sys
import tempfile
import warnings
from pathlib import Path

import numpy as np
from click.testing import CliRunner
from sklearn import datasets
from sklearn.neural_network import MLPClassifier, MLPRegressor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from portnn.cli import main as portnn
from portnn.nn import random

TABLES = ("iris", "wine", "breast_cancer", "diabetes", "digits")


def ours(path: Path, target: str, seed: int) -> float:
    """Return the score that ``portnn train`` prints."""
    result = CliRunner().invoke(portnn, ["train", str(path), "--target", target, "--seed", str(seed)])
    scores = [line.split()[1] for line in result.stdout.splitlines() if line.startswith(("accuracy", "r2"))]
    return float(scores[0])


def theirs(x: np.ndarray, y: np.ndarray, kind: type, seed: int) -> float:
    """Return the score of scikit-learn's network, with its defaults, on the same rows."""
    kept, held = random.split(len(x), 0.2, seed, None if kind is MLPRegressor else y)
    model = make_pipeline(StandardScaler(), kind(random_state=seed)).fit(x[kept], y[kept])
    return float(model.score(x[held], y[held]))


def is_behind(name: str, scores: np.ndarray) -> list[str]:
    """Print ours and theirs, (seeds, 2), with standard errors; return the name if ours is lower by more than one."""
    means, errors = scores.mean(axis=0), scores.std(axis=0, ddof=1) / len(scores) ** 0.5
    print(f"{name:<14} portnn {means[0]:.3f} +- {errors[0]:.3f}   scikit-learn {means[1]:.3f} +- {errors[1]:.3f}")
    return [name] if means[0] < means[1] - np.hypot(*errors) else []


def main(seeds: int) -> int:
    behind: list[str] = []
    for name in TABLES:
        data = getattr(datasets, f"load_{name}")()
        kind = MLPRegressor if name == "diabetes" else MLPClassifier
        with tempfile.TemporaryDirectory() as folder, warnings.catch_warnings():
            warnings.simplefilter("ignore")  # scikit-learn says where it has not converged
            path = Path(folder) / "table.csv"
            head = ",".join([*(f"x{i}" for i in range(data.data.shape[1])), "target"])
            np.savetxt(
                path, np.column_stack([data.data, data.target]), delimiter=",", fmt="%.10g", header=head, comments=""
            )
            scores = [
                np.array([f(s) for s in range(seeds)])
                for f in (
                    lambda seed, path=path: ours(path, "target", seed),
                    lambda seed, data=data, kind=kind: theirs(data.data, data.target, kind, seed),
                )
            ]
        behind += is_behind(name, np.array(scores).T)
    print(f"behind by more than one standard error: {', '.join(behind) or 'none'}")
    return 1 if behind else 0


if __name__ == "__main__":
    sys.exit(main(int(sys.argv[1]) if len(sys.argv) > 1 else 10))
