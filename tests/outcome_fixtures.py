"""Every file of recorded outcomes, whatever its name, compared with what the library makes of its inputs.

A file is known by what it holds, so that further ones of the same form are compared too. Run as a program it prints,
for each file of `golden/outcomes` or of a folder that is named, how many entries were compared, with which tolerance,
and the largest error:

    python tests/outcome_fixtures.py [FOLDER]
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import outcomes_of_heads
import outcomes_of_predictions
import outcomes_of_studies
from outcome_entries import Entries
from recorded import GOLDEN

FOLDER = GOLDEN / "outcomes"
FORMS: dict[str, Callable[[Mapping[str, Any]], Entries]] = {
    "at_threshold": outcomes_of_predictions.decisions, "auroc_ovo_macro": outcomes_of_predictions.classes,
    "sd": outcomes_of_predictions.numbers, "train_log_hazard": outcomes_of_predictions.survival,
    "uno_issue_428": outcomes_of_predictions.small_survival, "time_weeks": outcomes_of_studies.trial,
    "one_minus_km_cause_1": outcomes_of_studies.competing, "site": outcomes_of_studies.groups,
    "differences": outcomes_of_studies.comparison, "cls_p_cal": outcomes_of_studies.sets,
    "rows": outcomes_of_studies.ranks, "grad_log_hazard": outcomes_of_heads.accumulated,
    "grad_efron": outcomes_of_heads.cox, "coral_logits": outcomes_of_heads.grades,
    "out_survival_mtlr": outcomes_of_heads.discrete, "log_shape": outcomes_of_heads.weibull,
}
"""By an entry that only files of the form have."""


class Compared(NamedTuple):
    """One entry: the largest difference from what is recorded, 0 where both are undefined, and what is allowed."""

    entry: str
    error: float
    tolerance: float


def recorded(path: Path) -> dict[str, Any]:
    """The entries of a file."""
    if path.suffix == ".json":
        found: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        return found
    with np.load(path, allow_pickle=False) as file:
        return {key: file[key] for key in file.files}


def compared(path: Path) -> list[Compared]:
    """The entries of a file as computed and as recorded. Raises: ValueError for a file of no known form."""
    case = recorded(path)
    form = next((form for key, form in FORMS.items() if key in case), None)
    if form is None:
        raise ValueError(f"{path.name} has none of {', '.join(FORMS)}")
    return [Compared(entry, _error(found, wanted), tolerance) for entry, found, wanted, tolerance in form(case)]


def _error(found: Any, wanted: Any) -> float:
    ours, theirs = (np.asarray(_plain(each), dtype=np.float64) for each in (found, wanted))
    if ours.shape != theirs.shape:
        return float("inf")
    same = (ours == theirs) | (np.isnan(ours) & np.isnan(theirs))
    with np.errstate(invalid="ignore"):
        apart = np.where(same, 0.0, np.abs(ours - theirs))
    # One is undefined and the other is not.
    return float(np.nan_to_num(apart, nan=np.inf).max(initial=0.0))


def _plain(value: Any) -> Any:
    if value is None:
        return np.nan
    if isinstance(value, str):
        return float(value)
    return [_plain(each) for each in value] if isinstance(value, (list, tuple)) else value


def rows(files: Iterable[Path]) -> Iterator[tuple[str, ...]]:
    """File, how many entries with which tolerance, the largest error, and its entry."""
    for path in files:
        found = compared(path)
        for tolerance in sorted({each.tolerance for each in found}):
            own = [each for each in found if each.tolerance == tolerance]
            worst = max(own, key=lambda each: each.error)
            error = (f"{worst.error:.1e}", worst.entry) if worst.error else ("0", "")
            yield (path.name, str(len(own)), f"{tolerance:g}" if tolerance else "equal", *error)


def files_of(folder: Path) -> list[Path]:
    """The recorded files of a folder."""
    return sorted(path for path in folder.iterdir() if path.suffix in (".json", ".npz"))


if __name__ == "__main__":
    header = ("file", "entries", "tolerance", "largest error", "of")
    print(f"| {' | '.join(header)} |\n|{' --- |' * len(header)}")
    for row in rows(files_of(Path(sys.argv[1]) if len(sys.argv) > 1 else FOLDER)):
        print(f"| {' | '.join(row)} |")
