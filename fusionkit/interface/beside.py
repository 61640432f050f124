"""Figures of a run for cases of several origins, internal beside external."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fusionkit.data.loading import Cohort
from fusionkit.errors import DataError, Diagnostic
from fusionkit.evaluation.chosen_metrics import ChosenMetric
from fusionkit.evaluation.external import BesideEachOther, CaseOrigin, beside_each_other
from fusionkit.evaluation.external_files import write_beside
from fusionkit.interface.opened_run import OpenedFolder, OwnResults
from fusionkit.runs.case_mix import CaseMix, case_mix, write_case_mix
from fusionkit.runs.results import outcomes_of
from fusionkit.runs.seen_cases import seen_of

OWN = "own test cases"
_FIX = "give the data file of another hospital, scanner or year"


@dataclass(frozen=True)
class CasesOfOrigin:
    """The results for cases of one origin; `trained_on` is how many of them were trained on."""

    name: str
    cohort: Cohort
    found: OwnResults
    trained_on: int = 0

    @property
    def origin(self) -> CaseOrigin:
        """Where the cases are from, with the number that lack each input."""
        rows = list(self.found.rows)
        absent = {name: int((~self.cohort.present(name)[rows]).sum()) for name in self.cohort.sizes}
        return CaseOrigin(self.name, absent, self.trained_on)

    @property
    def patients(self) -> list[str] | None:
        """The patient of each result, None where the data name none."""
        return self.cohort.named_patients(self.found.rows)


def origins_beside(opened: OpenedFolder, others: Sequence[str | Path], *, data: str | Path | None, own: bool
                   ) -> list[CasesOfOrigin]:
    """The results for the cases of other files; what is warned of is shown.

    Raises: DataError with `beside-itself` for a file that is evaluated already, `no-target` for one without targets.
    """
    known = {(opened.first.run.data if own or data is None else Path(data)).resolve()}
    made = []
    for other in others:
        if Path(other).resolve() in known:
            raise DataError(Diagnostic("beside-itself", f"--beside {other} is evaluated already",
                                       why="the figures of the same cases would stand beside each other", fix=_FIX))
        known.add(Path(other).resolve())
        cohort = opened.first.cohort(other, require_targets=False)
        found = OwnResults(cohort.rows, opened.everywhere(cohort, cohort.rows, other))
        if not any((result.valid & result.known).any() for result in found.results.values()):
            raise DataError(Diagnostic("no-target", f"no case of {other} has a target", cohort.description.span(
                "targets"), why="figures compare predictions with targets",
                fix="name the columns under 'targets'; fusionkit predict needs none"))
        seen = seen_of(opened.runs, cohort, cohort.rows)
        for line in seen.lines():
            opened.first.console.note(f"{other}: {line}")
        made.append(CasesOfOrigin(str(other), cohort, found, len(seen.trained)))
    return made


def judge_beside(first: CasesOfOrigin, others: Sequence[CasesOfOrigin], *, metrics: Sequence[ChosenMetric],
                 folder: Path, about: Mapping[str, Any]) -> tuple[list[BesideEachOther], CaseMix]:
    """The figures of every head, written to `beside.csv` and `beside.json` in the folder, and the mix of cases."""
    made = []
    for name, result in first.found.results.items():
        parts = [(each.origin, outcomes_of(name, each.found.results[name], each.patients))
                 for each in (first, *others)]
        if any(outcomes.cases for _, outcomes in parts[1:]):
            made.append(beside_each_other(name, result.head.declared_task, parts, metrics=metrics))
    mix = case_mix([(each.name, each.cohort, list(each.found.rows)) for each in (first, *others)])
    write_beside(folder, made, {**about, "case_mix": dict(zip(mix.names, mix.parts, strict=True))})
    write_case_mix(folder, mix)
    return made, mix
