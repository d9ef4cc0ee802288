#!/usr/bin/env python
"""A search over hidden widths and learning rates by scikit-learn, on a raw table with texts and gaps.

It needs `pip install 'portnn[sklearn]' pandas`.
"""

from pathlib import Path

import pandas as pd
from sklearn.model_selection import GridSearchCV, KFold
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import FunctionTransformer

from portnn.sklearn import NeuralNetworkRegressor

TABLE = Path(__file__).parent / "data" / "mpg.csv"
GRID = {"network__hidden_layer_sizes": [(8,), (32, 16)], "network__learning_rate": [0.003, 0.03]}


def search(n_jobs: int | None = None) -> GridSearchCV:
    """Return a fitted search; the columns `origin` (texts) and `horsepower` (gaps) go in as they are."""
    table = pd.read_csv(TABLE)
    years = FunctionTransformer(lambda x: x.assign(age=82 - x["model_year"]).drop(columns=["name", "model_year"]))
    network = NeuralNetworkRegressor(max_iter=20, batch_size=32, tol=None, random_state=0)
    folds = KFold(3, shuffle=True, random_state=0)
    search = GridSearchCV(Pipeline([("years", years), ("network", network)]), GRID, cv=folds, n_jobs=n_jobs)
    return search.fit(table.drop(columns="mpg"), table["mpg"])


def main() -> None:
    found = search()
    for params, score in zip(found.cv_results_["params"], found.cv_results_["mean_test_score"], strict=True):
        print(f"R2 {score:.3f} with {params}")
    print(f"best: {found.best_params_}")


if __name__ == "__main__":
    main()
