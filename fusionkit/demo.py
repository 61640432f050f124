"""The demonstrations: a cohort written as files, three networks trained on it, and what their figures mean."""

from __future__ import annotations

from dataclasses import dataclass
from math import sqrt
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from fusionkit.data.breast_cancer import GROUPS, write_breast_cancer
from fusionkit.data.cases import CaseDataset
from fusionkit.data.organs import write_organs
from fusionkit.data.phantom import SCENARIOS, Ceilings, Scenario, ceilings
from fusionkit.data.phantom_files import write_phantom
from fusionkit.errors import Diagnostic, GraphError, did_you_mean
from fusionkit.evaluation.report import Metric
from fusionkit.experiment import Reporter, Trained, train
from fusionkit.inference import HeadResult
from fusionkit.registry import Registry, discover
from fusionkit.runs import Setup, set_up
from fusionkit.training.settings import read_settings

PHANTOM_CASES = 600
VIEWS = ("image", "table", "both")


@dataclass(frozen=True)
class Figure:
    """One network's accuracy on cases that it did not see, with its 95 % interval, and the best that is possible."""

    name: str
    accuracy: float
    low: float | None
    high: float | None
    cases: int
    ceiling: float | None = None

    @property
    def standard_error(self) -> float:
        """Of the accuracy, as of a share of independent cases."""
        return sqrt(self.accuracy * (1 - self.accuracy) / self.cases)

    @property
    def passes(self) -> bool:
        """Whether it passes its ceiling by more than three standard errors, which only a leak can do."""
        return self.ceiling is not None and self.accuracy > self.ceiling + 3 * self.standard_error

    def row(self) -> list[str]:
        """Cells for a table: name, accuracy, interval, ceiling."""
        interval = f"{self.low:.3f} to {self.high:.3f}" if self.low is not None and self.high is not None else ""
        return [self.name, f"{self.accuracy:.3f}", interval, *([f"{self.ceiling:.3f}"] if self.ceiling else [])]


@dataclass(frozen=True)
class Demo:
    """What a demonstration left behind: its data, its runs and its figures."""

    data: Path
    runs: dict[str, Path]
    figures: list[Figure]


def claim_folder(folder: Path) -> None:
    """Refuse a folder that holds something.

    Raises: GraphError with `folder-not-empty`.
    """
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise GraphError(Diagnostic("folder-not-empty", f"{str(folder)!r} is there already and is not an empty folder",
                                    fix="name another folder: fusionkit demo DIR"))


def organs(folder: Path, cases: int | None, seed: int, reporter: Reporter) -> Demo:
    """Real cubes of CT and blurred places: image only, table only, both, over five folds of whole blocks."""
    claim_folder(folder)
    data = folder / "organs" / "data.yaml"
    with reporter.progress("writing files") as update:
        write_organs(data.parent, cases, seed, update)
    runs = {view: folder / f"run-{view}" for view in VIEWS}
    graphs = {"image": "organs-image", "table": "organs-table", "both": "organs"}
    figures = []
    for view in VIEWS:
        reporter.line(f"\n{view}: fusionkit train {graphs[view]} {data} -o {runs[view]}")
        trained = _trained(graphs[view], data, runs[view], seed, reporter)
        figures.append(_measured(view, trained))
        reporter.line(f"  accuracy {figures[-1].accuracy:.3f}")
    return Demo(data, runs, figures)


def phantom(folder: Path, scenario: str, cases: int | None, seed: int, reporter: Reporter) -> Demo:
    """A cohort whose ceilings are known: CT series as DICOM beside a table; each accuracy beside its ceiling.

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
    runs = {view: folder / f"run-{view}" for view in VIEWS}
    graphs = {"image": "phantom-image", "table": "phantom-table", "both": "phantom"}
    figures = []
    for view in VIEWS:
        reporter.line(f"\n{view}: fusionkit train {graphs[view]} {data} -o {runs[view]}")
        trained = _trained(graphs[view], data, runs[view], seed, reporter)
        ceiling = {"image": best.image, "table": best.table, "both": best.both}[view]
        figures.append(_over_all(view, trained, ceiling))
        reporter.line(f"  accuracy {figures[-1].accuracy:.3f}, at best {ceiling:.3f}")
    return Demo(data, runs, figures)


def tables(folder: Path, seed: int, reporter: Reporter) -> Demo:
    """Three groups of measurements of tumours, beside logistic regression on the same folds."""
    claim_folder(folder)
    data = folder / "breast-cancer" / "data.yaml"
    write_breast_cancer(data.parent)
    runs = {"fused": folder / "run-fused"}
    reporter.line(f"\nfused: fusionkit train breast-cancer {data} -o {runs['fused']}")
    registry = discover()
    setup = set_up("breast-cancer", data, registry=registry)
    trained = _trained("breast-cancer", data, runs["fused"], seed, reporter, registry)
    return Demo(data, runs, [_measured("fused", trained), logistic_regression(setup)])


def _trained(graph: str, data: Path, folder: Path, seed: int, reporter: Reporter,
             registry: Registry | None = None) -> Trained:
    with reporter.progress("reading") as update:
        setup = set_up(graph, data, registry=registry, progress=update)
    settings = read_settings(setup.plan.graph.training, {"seed": seed})
    return train(setup, settings, folder, data=data, resume=False, reporter=reporter)


def _measured(name: str, trained: Trained) -> Figure:
    report = trained.reports[0]
    accuracy: Metric = report.metrics["accuracy"]
    return Figure(name, accuracy.value or 0.0, accuracy.low, accuracy.high, report.counts.cases)


def _over_all(name: str, trained: Trained, ceiling: float) -> Figure:
    """Accuracy over all test cases: where a network has no result, because its input is absent, it guesses."""
    result: HeadResult = next(iter(trained.results.values()))
    guesses = np.where(result.valid, result.values.argmax(1), 0)
    right = guesses == result.targets
    error = 1.96 * sqrt(right.mean() * (1 - right.mean()) / len(right))
    return Figure(name, float(right.mean()), float(right.mean() - error), float(right.mean() + error), len(right),
                  ceiling)


def logistic_regression(setup: Setup) -> Figure:
    """Scikit-learn's logistic regression on all measurements side by side, fitted and tested on the same folds."""
    from sklearn.linear_model import LogisticRegression

    cohort = setup.cohort
    head = setup.plan.heads[0].name
    right: list[bool] = []
    for fold in range(cohort.fold_count):
        train_rows, test_rows = cohort.fold(fold)
        fitted = cohort.fit(train_rows)
        known, wanted = (_table(cohort.dataset(rows, fitted), head) for rows in (train_rows, test_rows))
        model = LogisticRegression(max_iter=2000).fit(*known)
        right.extend(model.predict(wanted[0]) == wanted[1])
    share = float(np.mean(right))
    error = 1.96 * sqrt(share * (1 - share) / len(right))
    return Figure("logistic regression", share, share - error, share + error, len(right))


def _table(dataset: CaseDataset, head: str) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """All inputs of a dataset side by side, and the target."""
    cases = [dataset[index] for index in range(len(dataset))]
    values = np.stack([np.concatenate([case["inputs"][group].numpy() for group in GROUPS]) for case in cases])
    return values, np.array([int(case["targets"][head]) for case in cases])
