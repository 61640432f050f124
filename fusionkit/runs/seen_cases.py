"""Training cases of a run that are found again among the cases it is used on."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from fusionkit.data.loading import Cohort
from fusionkit.errors import DataError, Diagnostic
from fusionkit.runs.cases_record import names_of, read_record

if TYPE_CHECKING:
    from fusionkit.runs.folder import Run


@dataclass(frozen=True)
class SeenCases:
    """Ids of cases that the run has met; `count` is the number of cases looked at.

    `trained` were trained on, `watched` selected the best epoch, `related` are other cases of trained patients.
    """

    trained: tuple[str, ...]
    watched: tuple[str, ...]
    related: tuple[str, ...]
    count: int

    @property
    def mark(self) -> str:
        """The note beside metrics in a table that are not of new cases only; empty if none was trained on."""
        return f"{len(self.trained)} of {self.count} cases" if self.trained else ""

    def lines(self) -> list[str]:
        """What there is to tell, a line each."""
        told = [(self.trained, f"{len(self.trained)} of {self.count} cases were trained on"),
                (self.watched, f"{len(self.watched)} of {self.count} cases chose the best epoch of the training"),
                (self.related, f"{len(self.related)} of {self.count} cases are of patients that were trained on")]
        return [f"{text}: {names_of(names)}" for names, text in told if names]

    def as_json(self) -> dict[str, Any]:
        """As plain data."""
        return {"cases": self.count, "trained_on": list(self.trained)}


def seen_of(runs: Sequence[Run], cohort: Cohort, rows: Sequence[int]) -> SeenCases:
    """The rows that the runs have met, found by case id and by patient."""
    trained = {name for run in runs for name in run.about.get("train") or ()}
    watched = {name for run in runs for name in run.about.get("validation") or ()} - trained
    patients: set[str] = set()
    if cohort.description.patient is not None:
        for run in runs:
            record = read_record(run.folder)
            kept = record.patients if record is not None else {}
            patients |= {kept[name] for name in run.about.get("train") or () if name in kept}
    named = [(cohort.ids[row], cohort.patients[row]) for row in rows]
    return SeenCases(tuple(name for name, _ in named if name in trained),
                     tuple(name for name, _ in named if name in watched),
                     tuple(name for name, patient in named if patient in patients and name not in trained | watched),
                     len(named))


def refuse_seen(seen: SeenCases, data: str) -> None:
    """Refuse to fit anything on cases that were trained on.

    Raises: DataError with `trained-on`.
    """
    if seen.trained:
        raise DataError(Diagnostic(
            "trained-on", f"{len(seen.trained)} of {seen.count} cases of {data} were trained on: "
            f"{names_of(seen.trained)}", why="a network is more confident on these than on new cases, so a calibration "
            "on them is too optimistic", fix="leave them out; if they are other cases that only share ids: "
            "--include-training-cases"))
