"""The demonstrations: a cohort written as files, three networks trained on it, and their accuracies."""

from __future__ import annotations

import csv
import json
import os
import sys
from dataclasses import dataclass
from math import sqrt
from pathlib import Path
from subprocess import DEVNULL, Popen
from tempfile import TemporaryFile
from time import sleep

import numpy as np
from numpy.typing import NDArray

from fusionkit.data.loading import CaseDataset
from fusionkit.datasets.breast_cancer import GROUPS, write_breast_cancer
from fusionkit.datasets.organs import write_organs
from fusionkit.datasets.phantom import SCENARIOS, Ceilings, Scenario, ceilings
from fusionkit.datasets.phantom_files import CLASSES, write_phantom
from fusionkit.errors import Diagnostic, GraphError, RunError, did_you_mean
from fusionkit.runs.job import Reporter
from fusionkit.runs.setup import Setup, set_up

PHANTOM_CASES = 600
VIEWS = ("image", "table", "both")


@dataclass(frozen=True)
class Figure:
    """One network's accuracy on test cases with its 95 % interval, and the best possible accuracy."""

    name: str
    accuracy: float
    low: float | None
    high: float | None
    cases: int
    ceiling: float | None = None

    @property
    def standard_error(self) -> float:
        """The standard error of the accuracy, as a proportion of independent cases."""
        return sqrt(self.accuracy * (1 - self.accuracy) / self.cases)

    @property
    def passes(self) -> bool:
        """Whether it exceeds its ceiling by more than three standard errors, which only a leak can cause."""
        return self.ceiling is not None and self.accuracy > self.ceiling + 3 * self.standard_error

    def row(self) -> list[str]:
        """Cells for a table: name, accuracy, interval, ceiling."""
        interval = f"{self.low:.3f} to {self.high:.3f}" if self.low is not None and self.high is not None else ""
        return [self.name, f"{self.accuracy:.3f}", interval, *([f"{self.ceiling:.3f}"] if self.ceiling else [])]


@dataclass(frozen=True)
class Demo:
    """The results of a demonstration: its data, its runs and its accuracies."""

    data: Path
    runs: dict[str, Path]
    figures: list[Figure]

    @property
    def fused(self) -> str:
        """The name of the run that has all inputs."""
        return "both" if "both" in self.runs else "fused"


@dataclass(frozen=True)
class Doubt:
    """One prediction and its uncertainty: the entropy, in nats, of the mean probabilities."""

    case: str
    predicted: str
    probability: float
    entropy: float
    true: str


def doubtful(made: Demo, count: int) -> list[Doubt]:
    """The most uncertain predictions of the fused network."""
    with (made.runs[made.fused] / "predictions.csv").open(encoding="utf-8", newline="") as stream:
        rows = list(csv.DictReader(stream))
    head = next(name for name in rows[0] if f"{name}:predictive_entropy" in rows[0])
    known = [row for row in rows if row[head]]
    known.sort(key=lambda row: -float(row[f"{head}:predictive_entropy"]))
    return [Doubt(row["id"], row[head], float(row[f"{head}:{row[head]}"]), float(row[f"{head}:predictive_entropy"]),
                  row[f"{head}:target"]) for row in known[:count]]


def claim_folder(folder: Path) -> None:
    """Refuse a folder that is not empty.

    Raises: GraphError with `folder-not-empty`.
    """
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise GraphError(Diagnostic("folder-not-empty", f"{str(folder)!r} already exists and is not an empty folder",
                                    fix="name another folder: fusionkit demo DIR"))


def organs(folder: Path, cases: int | None, seed: int, reporter: Reporter) -> Demo:
    """Real cubes of CT and blurred positions: image only, table only, both, over five folds of whole blocks."""
    claim_folder(folder)
    data = folder / "organs" / "data.yaml"
    with reporter.progress("writing files") as update:
        write_organs(data.parent, cases, seed, update)
    runs = _train({"image": "organs-image", "both": "organs", "table": "organs-table"}, data, folder, seed, reporter)
    return Demo(data, runs, [_measured(view, runs[view]) for view in VIEWS])


def phantom(folder: Path, scenario: str, cases: int | None, seed: int, reporter: Reporter) -> Demo:
    """A synthetic cohort with known ceilings: CT series as DICOM and a table; each accuracy next to its ceiling.

    Raises: GraphError with `unknown-scenario`.
    """
    known = {name: name for name in SCENARIOS}
    if scenario not in known:
        raise GraphError(Diagnostic("unknown-scenario", f"there is no phantom scenario {scenario!r}",
                                    fix=did_you_mean(scenario, SCENARIOS)))
    claim_folder(folder)
    chosen: Scenario = known[scenario]
    data = folder / f"phantom-{scenario}" / "data.yaml"
    with reporter.progress("writing DICOM files") as update:
        write_phantom(data.parent, chosen, cases or PHANTOM_CASES, seed, update)
    best: Ceilings = ceilings(chosen)
    runs = _train({"image": "phantom-image", "both": "phantom", "table": "phantom-table"}, data, folder, seed, reporter)
    limits = {"image": best.image, "table": best.table, "both": best.both}
    return Demo(data, runs, [_over_all(view, runs[view], limits[view]) for view in VIEWS])


def tables(folder: Path, seed: int, reporter: Reporter) -> Demo:
    """Three groups of tumour measurements, compared with logistic regression on the same folds."""
    claim_folder(folder)
    data = folder / "breast-cancer" / "data.yaml"
    write_breast_cancer(data.parent)
    runs = _train({"fused": "breast-cancer"}, data, folder, seed, reporter)
    return Demo(data, runs, [_measured("fused", runs["fused"]), logistic_regression(set_up("breast-cancer", data))])


def _train(graphs: dict[str, str], data: Path, folder: Path, seed: int, reporter: Reporter) -> dict[str, Path]:
    """Train the networks by the commands that a user would type, as many in parallel as there are cores.

    Small networks are fastest on one core each: two threads in one of them mostly wait for each other.
    Raises: RunError with the command's own message when one fails.
    """
    runs = {name: folder / f"run-{name}" for name in graphs}
    waiting = {name: ["train", graphs[name], str(data), "-o", str(runs[name]), "--seed", str(seed), "--threads", "1"]
               for name in graphs}
    for command in waiting.values():
        reporter.line(f"fusionkit {' '.join(command)}")
    going: dict[str, _Command] = {}
    with reporter.progress("training") as update:
        try:
            while waiting or going:
                while waiting and len(going) < max(1, os.cpu_count() or 1):
                    name = next(iter(waiting))
                    going[name] = _Command(waiting.pop(name))
                sleep(0.2)
                for name in [name for name, command in going.items() if command.process.poll() is not None]:
                    going.pop(name).finish()
                update(len(graphs) - len(waiting) - len(going), len(graphs))
        finally:
            for running in going.values():
                running.process.kill()
    return runs


class _Command:
    """A command in a process of its own; its standard error is kept in a file."""

    def __init__(self, arguments: list[str]) -> None:
        self.arguments = arguments
        self.said = TemporaryFile("w+", encoding="utf-8")  # noqa: SIM115 - closed by finish
        self.process = Popen(  # noqa: S603 - our own command, from words that we chose
            [sys.executable, "-m", "fusionkit", *arguments], stdout=DEVNULL, stderr=self.said,
            env={**os.environ, "OMP_NUM_THREADS": "1"})

    def finish(self) -> None:
        """Wait for the command; raise its message if it failed."""
        self.said.seek(0)
        with self.said as said:
            text = said.read().strip()
        if self.process.returncode:
            raise RunError(f"`fusionkit {' '.join(self.arguments)}` ended with exit code "
                           f"{self.process.returncode}:\n{text}")


def _measured(name: str, run: Path) -> Figure:
    report = next(iter(json.loads((run / "metrics.json").read_text(encoding="utf-8"))["heads"].values()))
    accuracy = report["metrics"]["accuracy"]
    return Figure(name, accuracy["value"], accuracy["low"], accuracy["high"], report["counts"]["cases"])


def _over_all(name: str, run: Path, ceiling: float) -> Figure:
    """Accuracy over all test cases; without a result, because its input is missing, a network guesses."""
    with (run / "predictions.csv").open(encoding="utf-8", newline="") as stream:
        right = [(row["diagnosis"] or CLASSES[0]) == row["diagnosis:target"] for row in csv.DictReader(stream)]
    return _share(name, right, ceiling)


def _share(name: str, right: list[bool], ceiling: float | None = None) -> Figure:
    """The share of correct answers with its normal 95 % interval."""
    share = sum(right) / len(right)
    error = 1.96 * sqrt(share * (1 - share) / len(right))
    return Figure(name, share, share - error, share + error, len(right), ceiling)


def logistic_regression(setup: Setup) -> Figure:
    """Scikit-learn's logistic regression on all measurements concatenated, fitted and tested on the same folds."""
    from sklearn.linear_model import LogisticRegression

    cohort = setup.cohort
    head = setup.plan.heads[0].name
    right: list[bool] = []
    for fold in range(cohort.fold_count):
        train_rows, test_rows = cohort.fold(fold)
        fitted = cohort.fit(train_rows)
        known, wanted = (_table(cohort.dataset(rows, fitted), head) for rows in (train_rows, test_rows))
        model = LogisticRegression(max_iter=2000).fit(*known)
        right.extend((model.predict(wanted[0]) == wanted[1]).tolist())
    return _share("logistic regression", right)


def _table(dataset: CaseDataset, head: str) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """All inputs of a dataset concatenated, and the target."""
    cases = [dataset[index] for index in range(len(dataset))]
    values = np.stack([np.concatenate([case["inputs"][group].numpy() for group in GROUPS]) for case in cases])
    return values, np.array([int(case["targets"][head]) for case in cases])
