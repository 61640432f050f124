"""The default policy of training beside others, on two sets with images: what holding cases out costs and gives.

Run: python benchmarks/training_policy.py [--set NAME ...] [--cases N ...] [--policy NAME ...] [--splits 2]
[--tested 700] [--record FILE]

Sets: `digits`, scikit-learn's 8 x 8 digits with normal noise of deviation 3, by `encoder.conv`, beside their sums over
rows and columns, by `encoder.mlp`; `organs`, the cubes of CT of the demo, by the graph of the demo without its training
settings. `--cases` are the training cases, drawn by lot (neighbours among the cubes are not kept apart, which is the
same for all policies); the accuracy and the log loss are those of `--tested` other cases. Policies: `default`, no
setting touched; `share`, one network with 15 % held out; `last`, nothing held out and the weights of the last step;
`short`, 50 epochs of batches of 16 without held-out cases. A line has the means over the splits, and all policies have
the same splits.
"""

from __future__ import annotations

import argparse
import csv
import json
import tempfile
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.datasets import load_digits
from sklearn.metrics import accuracy_score, log_loss

import fusionkit
from fusionkit.datasets.organs import write_organs
from fusionkit.planning.open_graph import open_graph
from fusionkit.registry.lookup import discover
from fusionkit.syntax.reader import read_file
from fusionkit.syntax.tree import to_plain

POLICIES: Mapping[str, Mapping[str, Any]] = {
    "default": {},
    "share": {"hold_out": 0.15},
    "last": {"hold_out": 0},
    "short": {"hold_out": 0, "epochs": 50, "batch_size": 16},
}
NOISE, ORGANS = 3.0, 3000


@dataclass(frozen=True)
class Study:
    """A data file, the rows of its table and the graph."""

    data: Path
    rows: list[dict[str, str]]
    target: str
    graph: Mapping[str, Any]

    def drawn(self, cases: int, tested: int, split: int) -> Path:
        """A copy of the data file with a split column: that many training cases and others to test, by lot."""
        order = np.random.default_rng([split, cases]).permutation(len(self.rows)).tolist()
        chosen = [(row, "train") for row in order[:cases]] + [(row, "test") for row in order[cases:cases + tested]]
        folder, name = self.data.parent, f"cases-{cases}-{split}"
        with (folder / f"{name}.csv").open("w", newline="", encoding="utf-8") as stream:
            sheet = csv.DictWriter(stream, [*self.rows[0], "part"])
            sheet.writeheader()
            sheet.writerows({**self.rows[row], "part": part} for row, part in chosen)
        text = json.loads(self.data.read_text(encoding="utf-8"))
        text |= {"cases": f"{name}.csv", "split": {"column": "part"}}
        made = folder / f"{name}.yaml"
        made.write_text(json.dumps(text), encoding="utf-8")
        return made


def digits(folder: Path) -> Study:
    """Noisy digits as arrays, and their sums over rows and columns as columns of a table."""
    known, generator = load_digits(), np.random.default_rng(0)
    images = (known.images + generator.normal(0, NOISE, known.images.shape))[:, None]
    sums = [f"s{number}" for number in range(16)]
    rows = []
    for row, (image, digit) in enumerate(zip(images, known.target, strict=True)):
        np.save(folder / f"c{row}.npy", image.astype(np.float32))
        values = [*image[0].sum(0), *image[0].sum(1)]
        rows.append({"id": f"c{row}", "digit": f"d{digit}",
                     **{name: f"{value:.6g}" for name, value in zip(sums, values, strict=True)}})
    data = folder / "data.yaml"
    data.write_text(json.dumps({
        "fusionkit-data": 1, "cases": "cases.csv", "id": "id", "targets": {"digit": {"column": "digit"}},
        "inputs": {"image": {"read": "numpy", "path": "{id}.npy", "window": [0, 16]},
                   "sums": {"read": "columns", "numeric": sums}}}), encoding="utf-8")
    graph = {"fusionkit": 1, "name": "digits", "inputs": {"image": {"image": [1, 8, 8]}, "sums": {"vector": [16]}},
             "nodes": {"seen": {"use": "encoder.conv", "from": "image", "with": {"widths": [16, 32], "blocks": 0}},
                       "summed": {"use": "encoder.mlp", "from": "sums"},
                       "both": {"use": "fusion.concat", "from": ["seen", "summed"]},
                       "digit": {"use": "head.classify", "from": "both",
                                 "with": {"classes": [f"d{digit}" for digit in range(10)]}}}}
    return Study(data, rows, "digit", graph)


def organs(folder: Path) -> Study:
    """The cubes and places of the demo."""
    write_organs(folder, ORGANS, 0, lambda done, total: None)
    with (folder / "cases.csv").open(encoding="utf-8", newline="") as stream:
        rows = list(csv.DictReader(stream))
    data, graph = folder / "data.yaml", dict(to_plain(open_graph("organs", (), discover())))
    data.write_text(json.dumps(to_plain(read_file(data))), encoding="utf-8")
    for section in ("training", "uncertainty"):
        graph.pop(section)
    return Study(data, rows, "organ", graph)


SETS = {"digits": digits, "organs": organs}


def tested(study: Study, data: Path, policy: Mapping[str, Any]) -> tuple[float, float, float]:
    """Accuracy, log loss and seconds of one training."""
    with tempfile.TemporaryDirectory() as scratch:
        begun = time.perf_counter()
        fusionkit.train(study.graph, data, output=Path(scratch) / "run", quiet=True, **policy)
        seconds = time.perf_counter() - begun
        with (Path(scratch) / "run" / "predictions.csv").open(encoding="utf-8", newline="") as stream:
            rows = list(csv.DictReader(stream))
    classes = sorted({row[study.target] for row in study.rows})
    found: NDArray[np.float64] = np.array([[float(row[f"{study.target}:{name}"]) for name in classes] for row in rows])
    truth = [classes.index(row[f"{study.target}:target"]) for row in rows]
    shares = np.clip(found, 1e-7, 1)
    return (float(accuracy_score(truth, found.argmax(1))),
            float(log_loss(truth, shares / shares.sum(1, keepdims=True), labels=range(len(classes)))), seconds)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--set", action="append", choices=SETS, help="only this one; may be repeated")
    parser.add_argument("--cases", action="append", type=int, help="training cases (default: 100 and 300)")
    parser.add_argument("--policy", action="append", choices=POLICIES, help="only this one; may be repeated")
    parser.add_argument("--splits", type=int, default=2)
    parser.add_argument("--tested", type=int, default=700)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--record", type=Path, help="write the figures of every split to this file too, as JSON")
    args = parser.parse_args()
    made = []
    print("| set | cases | policy | accuracy | log loss | seconds |\n| --- | --- | --- | --- | --- | --- |")
    for name in args.set or SETS:
        with tempfile.TemporaryDirectory() as scratch:
            study = SETS[name](Path(scratch))
            for cases in args.cases or (100, 300):
                for policy in args.policy or POLICIES:
                    found = [tested(study, study.drawn(cases, args.tested, split),
                                    {**POLICIES[policy], "threads": args.threads}) for split in range(args.splits)]
                    accuracy, loss, seconds = np.mean(found, axis=0)
                    print(f"| {name} | {cases} | {policy} | {accuracy:.3f} | {loss:.3f} | {seconds:.0f} |", flush=True)
                    made.append({"set": name, "cases": cases, "policy": policy, "splits": found})
    if args.record:
        args.record.write_text(json.dumps(made, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
