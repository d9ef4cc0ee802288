"""The command line's defaults beside scikit-learn's pipeline, on real tables: python benchmarks/tables.py

python benchmarks/tables.py [--data FOLDER] [--seeds 5] [--output RECORD.md]

Iris, wine, breast cancer, diabetes and digits, which scikit-learn brings, and those of TABLES that lie as CSV files in
FOLDER, as they were found. Each seed holds out a fifth of the rows, the same for both, and draws the initial weights.
portnn has the raw file and what ``portnn train`` does where nobody says otherwise; scikit-learn a pipeline as its
guide has it: numbers' gaps filled by the median and standardised, texts' by the most frequent and one-hot, dates left
out, its MLP with its defaults, a regression's target standardised.

Prints both means of the accuracy (r2 of a regression), the mean difference with its standard error, and exits with 1
where the mean over all tables is below 0, or one table's below -0.01 by more than its standard error.
"""

import json
import sys
import tempfile
import warnings
from argparse import ArgumentParser
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd
import sklearn
from click.testing import CliRunner
from sklearn import datasets
from sklearn.compose import ColumnTransformer, TransformedTargetRegressor
from sklearn.impute import SimpleImputer
from sklearn.neural_network import MLPClassifier, MLPRegressor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler

import portnn
from portnn.cli import main as command
from portnn.nn import random

BROUGHT = ("iris", "wine", "breast_cancer", "diabetes", "digits")
TABLES = {
    "auto_imports": (False, "-1", "price"),
    "german": (False, "-1", "credit"),
    "glass": (False, "-1", "kind"),
    "ionosphere": (False, "-1", "kind"),
    "mpg": (True, "mpg", "mpg"),
    "taxis": (True, "tip", "tip"),
    "tips": (True, "tip", "tip"),
    "titanic": (True, "survived", "survived"),
}
"""Name of the file: whether it has a header, the target as the command line and as a reader calls it."""
REGRESSIONS = ("auto_imports", "mpg", "taxis", "tips", "diabetes")
TELLS = {"titanic": ["alive"]}
"""Columns that give the answer away."""


def brought(folder: Path) -> Iterator[tuple[str, Path, pd.DataFrame, str]]:
    """Yield scikit-learn's own: name, file, frame with the target last, and its name for the command line."""
    for name in BROUGHT:
        data = getattr(datasets, f"load_{name}")()
        columns = [*(f"x{i}" for i in range(data.data.shape[1])), "target"]
        frame = pd.DataFrame(np.column_stack([data.data, data.target]), columns=columns)
        if name not in REGRESSIONS:
            frame["target"] = frame["target"].astype(int)
        frame.to_csv(folder / f"{name}.csv", index=False)
        yield name, folder / f"{name}.csv", frame, "target"


def found(folder: Path) -> Iterator[tuple[str, Path, pd.DataFrame, str]]:
    """Yield the tables of a folder likewise."""
    for name, (header, option, _) in TABLES.items():
        path = folder / f"{name}.csv"
        if path.exists():
            frame = pd.read_csv(path, header=0 if header else None, na_values=["?"], skipinitialspace=True)
            frame.columns = frame.columns.map(str)
            target = frame.pop(option if header else frame.columns[-1])
            frame = frame.drop(columns=TELLS.get(name, [])).assign(target=target)
            yield name, path, frame.dropna(subset=["target"]).reset_index(drop=True), option


def ours(name: str, path: Path, option: str, seed: int) -> float:
    """Return the score that ``portnn train`` prints."""
    drop = ["--drop", ",".join(TELLS[name])] if name in TELLS else []
    arguments = ["train", str(path), "--target", option, "--seed", str(seed), "--json", *drop]
    scores = json.loads(CliRunner().invoke(command, arguments, catch_exceptions=False).stdout)
    return float(scores["r2" if name in REGRESSIONS else "accuracy"])


def theirs(name: str, frame: pd.DataFrame, seed: int) -> float:
    """Return the score of scikit-learn's pipeline on the same rows."""
    x, y = frame.drop(columns="target"), frame["target"].to_numpy()
    labels = None if name in REGRESSIONS else np.unique(y, return_inverse=True)[1]
    kept, held = random.split(len(x), 0.2, seed, labels)
    numbers = [column for column in x if pd.api.types.is_numeric_dtype(x[column])]
    texts = [c for c in x if c not in numbers and not x[c].astype(str).str.match(r"\d{4}-\d\d-\d\d").mean() > 0.5]
    x[texts] = x[texts].astype(object).where(x[texts].notna(), None)
    prepared = ColumnTransformer(
        [
            ("numbers", make_pipeline(SimpleImputer(strategy="median"), StandardScaler()), numbers),
            (
                "texts",
                make_pipeline(
                    SimpleImputer(strategy="most_frequent", missing_values=None), OneHotEncoder(handle_unknown="ignore")
                ),
                texts,
            ),
        ]
    )
    if name in REGRESSIONS:
        network = make_pipeline(prepared, MLPRegressor(random_state=seed))
        model = TransformedTargetRegressor(network, transformer=StandardScaler())
    else:
        model = make_pipeline(prepared, MLPClassifier(random_state=seed))
    return float(model.fit(x.iloc[kept], y[kept]).score(x.iloc[held], y[held]))


def main() -> int:
    parser = ArgumentParser()
    parser.add_argument("--data", type=Path)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--output", type=Path)
    options = parser.parse_args()
    lines = [
        f"# Tables: portnn {portnn.__version__} beside scikit-learn {sklearn.__version__}, {options.seeds} splits each",
        "",
        "| table | rows | score | portnn | scikit-learn | difference |",
        "|---|---|---|---|---|---|",
    ]
    means, behind = [], []
    with tempfile.TemporaryDirectory() as folder, warnings.catch_warnings():
        warnings.simplefilter("ignore")  # scikit-learn says where it has not converged
        for name, path, frame, option in [*brought(Path(folder)), *(found(options.data) if options.data else ())]:
            seeds = range(options.seeds)
            scores = np.array([(ours(name, path, option, s), theirs(name, frame, s)) for s in seeds])
            difference = scores[:, 0] - scores[:, 1]
            mean, error = difference.mean(), difference.std(ddof=1) / len(difference) ** 0.5
            means.append(mean)
            behind += [name] * bool(mean + error < -0.01)
            score = "r2" if name in REGRESSIONS else "accuracy"
            own, other = scores.mean(axis=0)
            lines.append(f"| {name} | {len(frame)} | {score} | {own:.3f} | {other:.3f} | {mean:+.3f} ± {error:.3f} |")
            print(lines[-1], flush=True)
    lines += ["", f"Mean difference: {np.mean(means):+.4f}. Behind by more than 0.01: {', '.join(behind) or 'none'}."]
    print(lines[-1])
    if options.output:
        options.output.write_text("\n".join(lines) + "\n")
    return 1 if behind or np.mean(means) < 0 else 0


if __name__ == "__main__":
    sys.exit(main())
