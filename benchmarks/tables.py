"""Tables with texts, gaps and dates, beside scikit-learn's pipeline: python benchmarks/tables.py [SEEDS]

Two tables with known structure, of the kind of Titanic's passengers and of the census ("adult"): each seed draws the
rows, those held out and the initial weights. portnn has the raw CSV and its defaults; scikit-learn an imputer, one-hot
columns, standardisation and its MLPClassifier. Prints mean and standard error of the accuracy, and exits with 1 where
ours is lower by more than one standard error of the difference. --write FOLDER only writes the tables.
"""

import csv
import sys
import tempfile
import warnings
from pathlib import Path
from typing import Any

import numpy as np
from small_data import is_behind, ours

from portnn.data.readers import read_csv
from portnn.nn import random

Rows = dict[str, list[Any]]


def with_gaps(rng: np.random.Generator, values: Any, share: float, gap: str = "") -> list[Any]:
    """Return values of which a share is missing."""
    return [gap if missing else value for value, missing in zip(values, rng.random(len(values)) < share, strict=True)]


def passengers(seed: int, rows: int = 891) -> tuple[Rows, str]:
    """Return a table like Titanic's and its target: sex, class, age and fare decide, with chance."""
    rng = np.random.default_rng([seed, 1])
    sex = rng.choice(["male", "female"], rows, p=[0.65, 0.35])
    grade = rng.choice([1, 2, 3], rows, p=[0.24, 0.21, 0.55])
    age = np.round(np.clip(rng.normal(38 - 4 * grade, 13), 1, 80), 1)
    fare = np.round(np.exp(rng.normal(4.6 - 0.8 * grade, 0.6)), 4)
    port = rng.choice(["S", "C", "Q"], rows, p=[0.72, 0.19, 0.09])
    booked = np.datetime64("1912-01-01") + rng.integers(0, 100, rows)
    cabin = [f"{'ABC'[g - 1]}{n}" for g, n in zip(grade, rng.integers(1, 120, rows), strict=True)]
    logit = 2.6 * (sex == "female") - 1.0 * (grade - 2) - 0.03 * (age - 30) + 0.6 * (port == "C") - 0.9
    survived = rng.random(rows) < 1 / (1 + np.exp(-1.5 * logit))
    return {
        "survived": ["yes" if s else "no" for s in survived],
        "class": grade.tolist(),
        "name": [f"{a}, {b}" for a, b in rng.integers(0, 10**6, (rows, 2))],
        "sex": sex.tolist(),
        "age": with_gaps(rng, age.tolist(), 0.2),
        "fare": fare.tolist(),
        "cabin": [c if keep else "" for c, keep in zip(cabin, rng.random(rows) < 0.55 - 0.15 * grade, strict=True)],
        "embarked": with_gaps(rng, port.tolist(), 0.01),
        "booked": with_gaps(rng, booked.astype(str).tolist(), 0.05),
    }, "survived"


def census(seed: int, rows: int = 4000) -> tuple[Rows, str]:
    """Return a table like "adult" and its target: education, hours, age, work and marriage decide, with chance."""
    rng = np.random.default_rng([seed, 2])
    age = rng.integers(17, 80, rows)
    school = rng.integers(0, 16, rows)
    hours = np.clip(np.round(rng.normal(41, 10, rows)), 5, 90).astype(int)
    married = rng.choice(["Married", "Never-married", "Divorced", "Widowed"], rows, p=[0.47, 0.33, 0.16, 0.04])
    work = rng.choice([f"job-{i}" for i in range(14)], rows)
    country = np.where(rng.random(rows) < 0.9, "Home", [f"country-{i}" for i in rng.integers(0, 60, rows)])
    gain = np.where(rng.random(rows) < 0.08, np.round(np.exp(rng.normal(8.5, 1, rows))), 0).astype(int)
    pay = {f"job-{i}": value for i, value in enumerate(np.linspace(-1.2, 1.2, 14))}
    logit = 0.32 * (school - 9) + 0.03 * (hours - 40) - 0.002 * (age - 48) ** 2 + 1.8 * (married == "Married")
    logit = logit + np.array([pay[w] for w in work]) + 0.00015 * gain - 1.6
    rich = rng.random(rows) < 1 / (1 + np.exp(-logit))
    return {
        "age": age.tolist(),
        "work": with_gaps(rng, work.tolist(), 0.06, "?"),
        "education": school.tolist(),
        "married": married.tolist(),
        "gain": gain.tolist(),
        "hours": with_gaps(rng, hours.tolist(), 0.03, "?"),
        "country": with_gaps(rng, country.tolist(), 0.02, "?"),
        "income": [">50K" if r else "<=50K" for r in rich],
    }, "income"


TABLES = {"passengers": passengers, "census": census}


def write(path: Path, columns: Rows) -> None:
    """Write a table as CSV."""
    with path.open("w", newline="") as file:
        csv.writer(file).writerows([list(columns), *zip(*columns.values(), strict=True)])


def theirs(path: Path, target: str, held: np.ndarray, seed: int) -> float:
    """Return the accuracy of scikit-learn's pipeline on the same rows: gaps filled, texts one-hot, dates as days."""
    import pandas as pd
    from sklearn.compose import make_column_selector, make_column_transformer
    from sklearn.impute import SimpleImputer
    from sklearn.neural_network import MLPClassifier
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import OneHotEncoder, StandardScaler

    frame = pd.read_csv(path, na_values=["?"])
    if "booked" in frame:
        frame["booked"] = (pd.to_datetime(frame["booked"]) - pd.Timestamp(0)).dt.days
    frame = frame.drop(columns="name", errors="ignore")
    y, x = frame.pop(target), frame
    numbers = make_pipeline(SimpleImputer(strategy="median", add_indicator=True), StandardScaler())
    texts = make_pipeline(SimpleImputer(strategy="most_frequent"), OneHotEncoder(handle_unknown="ignore"))
    columns_of = make_column_transformer(
        (numbers, make_column_selector(dtype_include="number")), (texts, make_column_selector(dtype_exclude="number"))
    )
    out = np.isin(np.arange(len(x)), held)
    model = make_pipeline(columns_of, MLPClassifier(random_state=seed)).fit(x[~out], y[~out])
    return float(model.score(x[out], y[out]))


def main(seeds: int) -> int:
    behind: list[str] = []
    for name, make in TABLES.items():
        scores: list[tuple[float, float]] = []
        with tempfile.TemporaryDirectory() as folder, warnings.catch_warnings():
            warnings.simplefilter("ignore")  # scikit-learn says where it has not converged
            for seed in range(seeds):
                columns, target = make(seed)
                path = Path(folder) / f"{name}.csv"
                write(path, columns)
                labels = np.unique(read_csv(path).columns[target], return_inverse=True)[1]
                _, held = random.split(len(labels), 0.2, seed, labels)
                scores.append((ours(path, target, seed), theirs(path, target, held, seed)))
        behind += is_behind(name, np.array(scores))
    print(f"behind by more than one standard error: {', '.join(behind) or 'none'}")
    return 1 if behind else 0


if __name__ == "__main__":
    if sys.argv[1:2] == ["--write"]:
        for name, make in TABLES.items():
            write(Path(sys.argv[2]) / f"{name}.csv", make(0)[0])
    else:
        sys.exit(main(int(sys.argv[1]) if len(sys.argv) > 1 else 10))
