"""Survival on the phantom: how near heads come to the best concordance, from a rendered CT and a table.

Run: python benchmarks/survival.py [--cases 1000] [--tested 1000] [--seeds 1] [--heads cox hazards weibull]
[--epochs 15]. Prints the table of docs/phantom.md.

Each network learns from `cases` cases, a fifth of which choose its epoch, and is judged on `tested` others by Uno's C
until the last horizon. Beside it stands the C of the true log hazard on the same cases, and the difference with its
standard error over 1,000 resamples of the cases.
"""

from __future__ import annotations

import argparse
import csv
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
from fusionkit_plugins.blocks.survival import concordance, of_events
from numpy.typing import NDArray

import fusionkit
from fusionkit.datasets.phantom import View
from fusionkit.datasets.phantom_survival import HORIZONS, best_concordance, draw_survival, write_survival

VIEWS: tuple[View, ...] = ("image", "table", "both")
OPTIONS: dict[str, dict[str, Any]] = {
    "cox": {"training": {"batch_size": 64}},
    "hazards": {"with": {"intervals": 4}},
    "weibull": {},
}
_INPUTS: dict[str, Any] = {"ct": {"volume": [1, 16, 32, 32]}, "clinic": {"vector": [10]}}
_ENCODERS: dict[str, Any] = {
    "ct": {"use": "encoder.conv", "from": "ct",
           "with": {"widths": [8, 16, 32], "stem_stride": 2, "output": "pooled", "norm": "batch"}},
    "clinic": {"use": "encoder.embed", "from": "clinic", "with": {"categories": [2, 2, 4, 2], "width": 16}},
}


def network(head: str, view: View, epochs: int) -> dict[str, Any]:
    """The graph of a head on a view."""
    names = {"image": ["ct"], "table": ["clinic"], "both": ["ct", "clinic"]}[view]
    nodes = {f"{name}_part": _ENCODERS[name] for name in names}
    if view == "both":
        nodes["both"] = {"use": "fusion.concat", "from": list(nodes)}
    nodes["death"] = {"use": f"head.{head}", "from": list(nodes)[-1],
                      "with": {"horizons": list(HORIZONS), "hidden": [32], "dropout": 0.1,
                               **OPTIONS[head].get("with", {})}}
    training = {"epochs": epochs, "batch_size": 32, "learning_rate": 0.003, "schedule": "cosine",
                **OPTIONS[head].get("training", {})}
    return {"fusionkit": 1, "name": f"{head}-{view}", "inputs": {name: _INPUTS[name] for name in names},
            "nodes": nodes, "training": training}


def main() -> None:
    """Write cohorts, train, and print a row for each network."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cases", type=int, default=1000)
    parser.add_argument("--tested", type=int, default=1000)
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--epochs", type=int, default=15)
    parser.add_argument("--heads", nargs="+", default=list(OPTIONS), choices=list(OPTIONS))
    parser.add_argument("--views", nargs="+", default=list(VIEWS), choices=VIEWS)
    given = parser.parse_args()
    print("| head | view | seed | C | of the truth | difference | standard error | best |\n"
          "| --- | --- | --- | --- | --- | --- | --- | --- |")
    for seed in range(given.seeds):
        with TemporaryDirectory() as folder:
            for row in _rows(Path(folder), seed, given):
                print("| " + " | ".join(row) + " |", flush=True)


def _rows(folder: Path, seed: int, given: argparse.Namespace) -> Iterator[list[str]]:
    every = given.cases + given.tested
    shares = (0.8 * given.cases / every, 0.2 * given.cases / every)
    write_survival(folder / "cohort", every, seed, shares=shares)
    drawn = draw_survival(every, seed)
    for view in given.views:
        for head in given.heads:
            run = folder / f"{head}-{view}"
            fusionkit.train(network(head, view, given.epochs), folder / "cohort" / "data.yaml", output=run, seed=seed,
                            quiet=True, threads=1)
            with (run / "predictions.csv").open(newline="") as file:
                rows = list(csv.DictReader(file))
            places = np.array([int(row["id"][1:]) for row in rows])
            risk = np.array([float(row["death:risk"]) for row in rows])
            time, event = drawn.time[places], drawn.event[places]
            truth = drawn.log_hazard(view)[places]
            weights = _weights(len(rows), seed)
            own, best = _uno(risk, time, event, weights), _uno(truth, time, event, weights)
            yield [head, view, str(seed), f"{own[0]:.4f}", f"{best[0]:.4f}", f"{own[0] - best[0]:+.4f}",
                   f"{np.std(own[1:] - best[1:]):.4f}", f"{best_concordance(view, HORIZONS[-1]):.4f}"]


def _weights(cases: int, seed: int) -> NDArray[np.float64]:
    """Once each, and 1,000 resamples: (cases, 1001)."""
    rng = np.random.default_rng(seed)
    drawn = [np.bincount(rng.integers(0, cases, cases), minlength=cases) for _ in range(1000)]
    return np.stack([np.ones(cases), *drawn], 1).astype(np.float64)


def _uno(risk: NDArray[np.float64], time: NDArray[np.float64], event: NDArray[np.bool_], weights: NDArray[np.float64]
         ) -> NDArray[np.float64]:
    early = of_events(time, event, weights, power=2) * (time < HORIZONS[-1])[:, None]
    return concordance(risk, time, event, early, weights)


if __name__ == "__main__":
    main()
