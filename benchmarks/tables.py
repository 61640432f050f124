"""The shortest graph on public tables, with no setting touched, beside scikit-learn's linear models.

Run: python benchmarks/tables.py [--table NAME ...] [--rows N] [--setting NAME=VALUE ...] [--record FILE]

Each table is divided into two or three groups of columns, each an input of its own: `encoder.mlp` for each,
`fusion.concat`, a head. Both are trained and tested on the same five folds. The rival is scikit-learn's logistic
regression, or ridge regression for a measurement, with its defaults, on standardised columns. The score is accuracy, or
R2 for a measurement; the loss is the log loss, or the squared error as a share of the variance. `behind` is by how many
standard deviations of the rival's score over the folds fusionkit is below it: above 1, the defaults are at fault.

The tables ship with scikit-learn: breast cancer (569 x 30), wine (178 x 13), digits (1,797 x 61, those that vary),
diabetes (442 x 10).
`--rows` takes that many cases of each, by lot, to see what few cases do.
"""

from __future__ import annotations

import argparse
import csv
import json
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn import datasets
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.metrics import accuracy_score, log_loss, r2_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

import fusionkit

FOLDS = 5


@dataclass(frozen=True)
class Table:
    """A public table: `groups` are the columns of each input, `classes` is empty for a measurement."""

    values: NDArray[np.float64]
    target: NDArray[Any]
    groups: Mapping[str, Sequence[int]]
    classes: tuple[str, ...]

    def drawn(self, rows: int | None) -> Table:
        """That many cases by lot, all where None; the draw is the same each time."""
        if rows is None or rows >= len(self.values):
            return self
        chosen = np.random.default_rng(0).permutation(len(self.values))[:rows]
        return Table(self.values[chosen], self.target[chosen], self.groups, self.classes)


def tables() -> dict[str, Table]:
    """The public tables by name."""
    cancer, wine = datasets.load_breast_cancer(), datasets.load_wine()
    digits, diabetes = datasets.load_digits(), datasets.load_diabetes(scaled=False)
    varying = [column for column in range(64) if digits.data[:, column].std() > 0]
    left = [column for column in varying if column % 8 < 4]
    return {
        "breast cancer": Table(cancer.data, cancer.target, {"means": range(10), "errors": range(10, 20),
                                                            "worst": range(20, 30)}, ("malignant", "benign")),
        "wine": Table(wine.data, wine.target, {"acids": range(6), "colours": range(6, 13)}, ("a", "b", "c")),
        "digits": Table(digits.data, digits.target, {"left": left, "right": [c for c in varying if c not in left]},
                        tuple(f"d{digit}" for digit in range(10))),
        "diabetes": Table(diabetes.data, diabetes.target, {"body": range(4), "serum": range(4, 10)}, ()),
    }


def write_study(table: Table, folder: Path) -> dict[str, Any]:
    """`cases.csv` and `data.yaml` in a folder; gives the shortest graph for them."""
    names = [f"v{column}" for column in range(table.values.shape[1])]
    target = [table.classes[code] for code in table.target] if table.classes else [f"{v:g}" for v in table.target]
    with (folder / "cases.csv").open("w", newline="", encoding="utf-8") as stream:
        sheet = csv.writer(stream)
        sheet.writerow(["id", *names, "outcome"])
        sheet.writerows([f"c{row}", *(f"{value:.10g}" for value in values), target[row]]
                        for row, values in enumerate(table.values))
    inputs = {group: {"read": "columns", "numeric": [names[column] for column in columns]}
              for group, columns in table.groups.items()}
    (folder / "data.yaml").write_text(json.dumps({
        "fusionkit-data": 1, "cases": "cases.csv", "id": "id", "inputs": inputs,
        "split": {"folds": FOLDS, "stratify": "outcome"}, "targets": {"outcome": {"column": "outcome"}}}),
        encoding="utf-8")
    head = ({"use": "head.classify", "with": {"classes": list(table.classes)}} if table.classes else
            {"use": "head.regress", "with": {"values": ["outcome"]}})
    return {"fusionkit": 1, "name": "shortest", "inputs": {group: {"vector": ["auto"]} for group in table.groups},
            "nodes": {"encoded": {"use": "encoder.mlp", "from": list(table.groups), "each": True},
                      "joined": {"use": "fusion.concat", "from": "encoded"}, "outcome": {**head, "from": "joined"}}}


def predicted(table: Table, settings: Mapping[str, Any]) -> tuple[NDArray[np.float64], NDArray[np.int64], float]:
    """What fusionkit predicts of each case (cases, classes or 1), the fold that tested it, and the seconds it took."""
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        graph = write_study(table, folder)
        begun = time.perf_counter()
        fusionkit.train(graph, folder / "data.yaml", output=folder / "run", quiet=True, **settings)
        seconds = time.perf_counter() - begun
        with (folder / "run" / "predictions.csv").open(encoding="utf-8") as stream:
            rows = sorted(csv.DictReader(stream), key=lambda row: int(row["id"][1:]))
    columns = [f"outcome:{name}" for name in table.classes or ["outcome"]]
    return (np.array([[float(row[column]) for column in columns] for row in rows]),
            np.array([int(row["fold"]) for row in rows]), seconds)


def linear(table: Table, folds: NDArray[np.int64]) -> NDArray[np.float64]:
    """What the linear model predicts of each case, trained on the other folds."""
    out = np.zeros((len(table.values), max(len(table.classes), 1)))
    for fold in range(FOLDS):
        held = folds == fold
        model = make_pipeline(StandardScaler(), LogisticRegression(max_iter=10_000) if table.classes else Ridge())
        model.fit(table.values[~held], table.target[~held])
        found = model.predict_proba(table.values[held]) if table.classes else model.predict(table.values[held])[:, None]
        out[held] = found
    return out


def scores(table: Table, found: NDArray[np.float64], folds: NDArray[np.int64]) -> tuple[list[float], list[float]]:
    """Score and loss in each fold."""
    quality, loss = [], []
    for fold in range(FOLDS):
        truth, result = table.target[folds == fold], found[folds == fold]
        if table.classes:
            share = np.clip(result, 1e-7, 1.0)
            quality.append(float(accuracy_score(truth, result.argmax(1))))
            loss.append(float(log_loss(truth, share / share.sum(1, keepdims=True), labels=range(len(table.classes)))))
        else:
            quality.append(float(r2_score(truth, result[:, 0])))
            loss.append(float(np.mean((truth - result[:, 0]) ** 2) / table.target.var()))
    return quality, loss


def measure(table: Table, settings: Mapping[str, Any]) -> dict[str, Any]:
    """Both on one table."""
    ours, folds, seconds = predicted(table, settings)
    (score, loss), (rival, rival_loss) = scores(table, ours, folds), scores(table, linear(table, folds), folds)
    spread = float(np.std(rival, ddof=1))
    return {"cases": len(table.values), "columns": sum(map(len, table.groups.values())), "score": float(np.mean(score)),
            "linear": float(np.mean(rival)), "deviation": spread, "loss": float(np.mean(loss)),
            "linear_loss": float(np.mean(rival_loss)), "seconds": round(seconds, 1),
            "behind": (float(np.mean(rival)) - float(np.mean(score))) / spread}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--table", action="append", choices=tables(), help="only this one; may be repeated")
    parser.add_argument("--rows", type=int, help="so many cases of each table, by lot (default: all)")
    parser.add_argument("--setting", action="append", default=[], metavar="NAME=VALUE", help="of the training")
    parser.add_argument("--record", type=Path, help="write the figures to this file too, as JSON")
    args = parser.parse_args()
    settings = {name: json.loads(value) for name, _, value in (pair.partition("=") for pair in args.setting)}
    print("| table | cases x columns | fusionkit | linear (deviation) | behind | loss | linear loss | seconds |\n"
          "| --- | --- | --- | --- | --- | --- | --- | --- |")
    made = {}
    for name, table in tables().items():
        if args.table and name not in args.table:
            continue
        row = made[name] = measure(table.drawn(args.rows), settings)
        print(f"| {name} | {row['cases']} x {row['columns']} | {row['score']:.3f} | {row['linear']:.3f} "
              f"({row['deviation']:.3f}) | {row['behind']:+.1f} | {row['loss']:.3f} | {row['linear_loss']:.3f} | "
              f"{row['seconds']:.0f} |", flush=True)
    if args.record:
        args.record.write_text(json.dumps(made, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
