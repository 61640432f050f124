"""A network and the cases that it explains; the networks of several folds are explained together."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from torch.utils.data import ConcatDataset

from fusionkit.data.loading import Cohort
from fusionkit.explanation.activations import Gates
from fusionkit.explanation.request import Cases, Request, ResolvedRequest
from fusionkit.explanation.selection import ChosenCase
from fusionkit.explanation.shapley import Shares
from fusionkit.runs.folder import Run
from fusionkit.runs.results import joined


@dataclass(frozen=True)
class ExplainedPart:
    """A run, and the cases that its network explains; `fold` is its number where several are explained together.

    `start` is the position of its first case among the cases of all parts.
    """

    run: Run
    resolved: ResolvedRequest
    cases: Cases
    start: int = 0
    fold: int | None = None

    def own(self, chosen: Sequence[ChosenCase]) -> list[ChosenCase]:
        """The chosen cases that are of this part, with their positions in it."""
        end = self.start + len(self.cases.ids)
        return [replace(item, place=item.place - self.start) for item in chosen if self.start <= item.place < end]


def requests_of_folds(request: Request, runs: Sequence[Run], cohort: Cohort) -> dict[int, Request]:
    """For each fold with cases to explain, the request for the cases that it tested.

    A case that no fold has met is left to the first.
    """
    tested = [set(run.about.get("test") or ()) for run in runs]
    everywhere = set().union(*tested)
    there = set(cohort.ids)
    found = {}
    for fold, names in enumerate(tested):
        mine = tuple(name for name in request.cases if name in names or (not fold and name not in everywhere))
        if names & there or mine:
            found[fold] = replace(request, cases=mine)
    return found or {0: request}


def cases_of_all(parts: Sequence[Cases]) -> Cases:
    """The cases of several parts, one part after the other."""
    if len(parts) == 1:
        return parts[0]
    known = all(part.patients is not None for part in parts)
    return Cases(tuple(name for part in parts for name in part.ids), ConcatDataset([part.dataset for part in parts]),
                 np.concatenate([part.tested for part in parts]),
                 tuple(name for part in parts for name in part.patients or ()) if known else None,
                 joined([part.results for part in parts]))


def gates_of_all(parts: Sequence[Sequence[Gates]]) -> list[Gates]:
    """The gates of each fusion over the cases of several networks of one graph."""
    return [replace(same[0], values=np.concatenate([each.values for each in same]),
                    there=np.concatenate([each.there for each in same])) for same in zip(*parts, strict=True)]


def shares_of_all(parts: Sequence[Mapping[str, Shares]]) -> dict[str, Shares]:
    """The shares of each head over the cases of several networks; without those of a head that one does not have."""
    return {name: _joined([part[name] for part in parts]) for name in parts[0]
            if all(name in part for part in parts)}


def _joined(every: Sequence[Shares]) -> Shares:
    return replace(
        every[0], values=np.concatenate([each.values for each in every]),
        whole=np.concatenate([each.whole for each in every]), nothing=np.concatenate([each.nothing for each in every]),
        valid=np.concatenate([each.valid for each in every]), there=np.concatenate([each.there for each in every]),
        answered=all(each.answered for each in every))
