"""One explanation: from the request to the chosen cases and the results to draw and write."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch.utils.data import Dataset

from fusionkit.data.batch import Case
from fusionkit.data.loading import Cohort
from fusionkit.errors import DataError, Diagnostic, GraphError
from fusionkit.evaluation.formatting import figures
from fusionkit.explanation.feature_maps import FeatureMap, Survey
from fusionkit.explanation.output_folder import Folder
from fusionkit.explanation.selection import (
    ChosenCase,
    ExplainedHead,
    choose,
    correct,
    explained_heads,
    rows_for,
    truth,
    value_for,
)
from fusionkit.files import write_json
from fusionkit.inference.predict import HeadResult, Settings, predict
from fusionkit.network.model import FusionModel
from fusionkit.planning.plan import Value
from fusionkit.runs.folder import Run

EXPLAIN = "explain.json"


@dataclass(frozen=True)
class Request:
    """The request as typed; None and () leave the choice to the command."""

    head: str | None = None
    class_name: str | None = None
    cases: tuple[str, ...] = ()
    at: tuple[str, ...] = ()
    node: str | None = None


@dataclass(frozen=True)
class ResolvedRequest:
    """A request for a network with every name resolved."""

    survey: Survey
    heads: tuple[ExplainedHead, ...]
    places: tuple[FeatureMap, ...]
    values: Mapping[str, Value]
    notes: tuple[str, ...]

    @property
    def model(self) -> FusionModel:
        """The network."""
        return self.survey.model


@dataclass(frozen=True)
class Cases:
    """The cases that are run, and every head's results for them.

    `tested` (N,) is True for the cases used for means and t-SNE; the others were requested by name. `patients` is None
    if the data have none.
    """

    ids: tuple[str, ...]
    dataset: Dataset[Case]
    tested: NDArray[np.bool_]
    patients: tuple[str, ...] | None
    results: Mapping[str, HeadResult]


@dataclass
class Explanation:
    """The results: tables under headings, notes, and everything as plain data."""

    folder: Folder
    notes: list[str] = field(default_factory=list)
    tables: list[tuple[str, list[str], list[list[str]]]] = field(default_factory=list)
    data: dict[str, Any] = field(default_factory=dict)

    def write(self, about: Mapping[str, Any]) -> dict[str, Any]:
        """Write `explain.json`, after everything else; returns its content."""
        content = {"fusionkit-explain": 1, **about, **self.data, "notes": self.notes, "files": self.folder.files}
        write_json(self.folder.path / EXPLAIN, content)
        return content


def resolve_request(model: FusionModel, request: Request) -> ResolvedRequest:
    """A request checked against the network.

    Raises: GraphError with every name that is wrong (`unknown-head`, `unknown-class`, `unknown-node`, `no-map`,
    `several-tensors`).
    """
    survey = Survey(model)
    explained, faults = explained_heads(model.plan, request.head, request.class_name)
    places, notes = ([], []) if request.at else survey.maps()
    for name in request.at:
        found = survey.at(name)
        if isinstance(found, Diagnostic):
            faults.append(found)
        else:
            places.extend(found)
    heads = explained or [ExplainedHead(model.plan.heads[0])]
    values = {item.name: value_for(model.plan, item, request.node) for item in heads}
    faults.extend(dict.fromkeys(value for value in values.values() if isinstance(value, Diagnostic)))
    if faults:
        raise GraphError(faults)
    return ResolvedRequest(survey, tuple(explained), tuple(dict.fromkeys(places)),
                           {name: value for name, value in values.items() if isinstance(value, Value)}, tuple(notes))


def cases_of(run: Run, cohort: Cohort, request: Request, *, own: bool, cache: Path | None,
             settings: Settings) -> Cases:
    """The run's test cases, or all cases of other data, and those requested by name; each is run once.

    Raises: DataError with `unknown-case`, or `no-cases`.
    """
    named = rows_for(cohort.ids, request.cases)
    test = set(run.about.get("test") or ()) if own else set(cohort.ids)
    tested = [row for row, name in enumerate(cohort.ids) if name in test]
    rows = [*tested, *(row for row in dict.fromkeys(named) if row not in set(tested))]
    if not rows:
        raise DataError(Diagnostic("no-cases", f"the run in {str(run.folder)!r} has no test cases to explain",
                                   fix="name cases with --case, or give data with --data"))
    dataset = cohort.dataset(rows, run.preprocessing, cache)
    known = cohort.description.patient is not None
    return Cases(tuple(cohort.ids[row] for row in rows), dataset, np.arange(len(rows)) < len(tested),
                 tuple(cohort.patients[row] for row in rows) if known else None,
                 predict(run.model, dataset, None, settings))


def chosen_of(resolved: ResolvedRequest, cases: Cases, request: Request) -> list[ChosenCase]:
    """The cases to explain: those that are named, for every head, else a few chosen automatically."""
    if request.cases:
        place = {name: at for at, name in enumerate(cases.ids)}
        return [ChosenCase(place[name], item.name, "requested") for name in dict.fromkeys(request.cases)
                for item in resolved.heads]
    complete = [all(source["present"].values()) for source in (cases.dataset[at] for at in range(len(cases.ids)))]
    return choose(cases.results, resolved.heads, complete)


def case_rows(resolved: ResolvedRequest, cases: Cases, chosen: Sequence[ChosenCase]
              ) -> tuple[list[list[str]], list[dict[str, Any]]]:
    """The chosen cases as rows of a table and as plain data."""
    rows, data = [], []
    for item in chosen:
        output = CaseOutput.of(resolved, cases, item)
        rows.append([cases.ids[item.place], item.head, item.why, output.explained, output.number, output.truth])
        data.append({"case": cases.ids[item.place], "head": item.head, "why": item.why, "explained": output.explained,
                     "value": None if output.value is None else float(f"{output.value:.6g}"), "truth": output.truth})
    return rows, data


@dataclass(frozen=True)
class CaseOutput:
    """A head's result for one case: the explained class, its value, the predicted class and the truth."""

    explained: str
    column: int
    value: float | None
    predicted: str
    truth: str
    task: str
    right: bool | None

    @staticmethod
    def of(resolved: ResolvedRequest, cases: Cases, item: ChosenCase) -> CaseOutput:
        """From the results of a case."""
        explained = next(explained for explained in resolved.heads if explained.name == item.head)
        result, names = cases.results[item.head], explained.head.names
        column = int(explained.columns(result)[item.place])
        judged = result.known[item.place] and explained.head.task != "regression"
        right = bool(correct(result)[item.place]) if judged else None
        value = float(result.values[item.place, column]) if result.valid[item.place] else None
        return CaseOutput(names[column], column, value, names[int(result.values[item.place].argmax())],
                          truth(result, item.place), explained.head.task, right)

    @property
    def number(self) -> str:
        """The probability or value as text; 'no result' without one."""
        return "no result" if self.value is None else figures(self.value)

    @property
    def line(self) -> str:
        """One line for a title."""
        if self.task == "regression":
            return f"{self.explained}: predicted {self.number}, truth {self.truth}"
        other = verdict = ""
        if self.task == "multiclass":
            other = "" if self.predicted == self.explained else f"; predicted: {self.predicted}"
            verdict = {None: "", True: " (correct)", False: " (wrong)"}[self.right]
        return f"{self.explained}: probability {self.number}{other}; truth: {self.truth}{verdict}"
