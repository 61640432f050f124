"""The cases that are explained: their data, every head's results for them, and those that are shown one by one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch.utils.data import ConcatDataset, Dataset

from fusionkit.data.batch import Batch, Case, collate
from fusionkit.evaluation.formatting import figures
from fusionkit.explanation.selection import ChosenCase, ExplainedHead, choose, correct, truth
from fusionkit.inference.predict import HeadResult


@dataclass(frozen=True)
class Cases:
    """The cases that are run, and every head's results for them.

    `tested` (N,) is True for the cases used for means and pictures of all cases; the others were requested by name.
    `patients` is None if the data have none. `results` have calibrated values if the run has a calibration.
    `columns` names the values of each input that is a vector: columns of the table, else their positions.
    """

    ids: tuple[str, ...]
    dataset: Dataset[Case]
    tested: NDArray[np.bool_]
    patients: tuple[str, ...] | None
    results: Mapping[str, HeadResult]
    columns: Mapping[str, tuple[str, ...]] = field(default_factory=dict)

    def batch(self, place: int, device: torch.device) -> Batch:
        """One case as a batch."""
        return collate([self.dataset[place]]).to(device)

    @staticmethod
    def joined(parts: Sequence[Cases], results: Mapping[str, HeadResult]) -> Cases:
        """The cases of several parts, one part after the other, with the results of all."""
        known = all(part.patients is not None for part in parts)
        return Cases(tuple(name for part in parts for name in part.ids),
                     ConcatDataset([part.dataset for part in parts]),
                     np.concatenate([part.tested for part in parts]),
                     tuple(name for part in parts for name in part.patients or ()) if known else None, results,
                     parts[0].columns)


def chosen_of(heads: Sequence[ExplainedHead], cases: Cases, requested: Sequence[str]) -> list[ChosenCase]:
    """The cases to explain: those that are named, for every head, else a few chosen automatically."""
    if requested:
        place = {name: at for at, name in enumerate(cases.ids)}
        return [ChosenCase(place[name], item.name, "requested") for name in dict.fromkeys(requested)
                for item in heads]
    complete = [all(source["present"].values()) for source in (cases.dataset[at] for at in range(len(cases.ids)))]
    return choose(cases.results, heads, complete)


def case_rows(heads: Sequence[ExplainedHead], cases: Cases, chosen: Sequence[ChosenCase]
              ) -> tuple[list[list[str]], list[dict[str, Any]]]:
    """The chosen cases as rows of a table and as plain data."""
    rows, data = [], []
    for item in chosen:
        output = CaseOutput.of(heads, cases, item)
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
    results: str
    right: bool | None

    @staticmethod
    def of(heads: Sequence[ExplainedHead], cases: Cases, item: ChosenCase) -> CaseOutput:
        """From the results of a case."""
        explained = next(explained for explained in heads if explained.name == item.head)
        result, names = cases.results[item.head], explained.head.names
        column = int(explained.columns(result)[item.place])
        judged = result.known[item.place] and explained.head.declared_task.results != "values"
        right = bool(correct(result)[item.place]) if judged else None
        value = float(result.values[item.place, column]) if result.valid[item.place] else None
        return CaseOutput(names[column], column, value, names[int(result.values[item.place].argmax())],
                          truth(result, item.place), explained.head.declared_task.results, right)

    @property
    def number(self) -> str:
        """The probability or value as text; 'no result' without one."""
        return "no result" if self.value is None else figures(self.value)

    @property
    def line(self) -> str:
        """One line for a title."""
        if self.results == "values":
            return f"{self.explained}: predicted {self.number}, truth {self.truth}"
        other = verdict = ""
        if self.results == "classes":
            other = "" if self.predicted == self.explained else f"; predicted: {self.predicted}"
            verdict = {None: "", True: " (correct)", False: " (wrong)"}[self.right]
        return f"{self.explained}: probability {self.number}{other}; truth: {self.truth}{verdict}"
