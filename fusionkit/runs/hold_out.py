"""Training cases that each network of a run holds out, to select its best epoch and for calibration."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from fusionkit.data.loading import CaseDataset, Cohort
from fusionkit.inference.ensemble import members_of
from fusionkit.inference.predict import HeadResult, Settings, predict
from fusionkit.inference.sampler import Sampler
from fusionkit.network.model import FusionModel
from fusionkit.planning.resolve import Use
from fusionkit.progress import Progress
from fusionkit.runs.results import joined
from fusionkit.training.settings import FOLDS, TrainingSettings

HELD_OUT_FOLDS = "cases held out of training"
"""The data of a calibration if each network held out different cases."""


@dataclass(frozen=True)
class HeldOut:
    """`folds` has, for each training case in order, the network that holds it out, -1 for none.

    It is empty if the networks hold out no different cases: with named validation cases, with one share
    that all of them hold out, or without either.
    """

    folds: tuple[int, ...] = ()

    def networks(self, asked: int) -> int:
        """The number of networks to train, given the number that the uncertainty method needs."""
        return FOLDS if self.folds and asked == 1 else asked

    def learned(self, cases: CaseDataset, member: int) -> CaseDataset:
        """The training cases that a network learns from."""
        if not self.folds:
            return cases
        return cases.some([place for place, fold in enumerate(self.folds) if fold != member % FOLDS])

    @property
    def of_networks(self) -> list[list[int]]:
        """The positions that each network holds out, as the run records them; empty without folds."""
        return [self.places(member) for member in range(FOLDS)] if self.folds else []

    def places(self, member: int) -> list[int]:
        """The positions of a network's held-out cases among the training cases."""
        return [place for place, fold in enumerate(self.folds) if fold == member % FOLDS]


def held_out_of(cohort: Cohort, train: Sequence[int], settings: TrainingSettings, named: bool) -> HeldOut:
    """The training rows that the networks of a training hold out; `named` is whether there are validation cases.

    `hold_out: auto` holds nothing out where there are too few patients for every network to hold out one.
    Raises: DataError with `too-few-cases`.
    """
    if named or settings.hold_out_for(len(train)) != "folds":
        return HeldOut()
    if settings.hold_out == "auto" and cohort.group_count(train) < FOLDS:
        return HeldOut()
    return HeldOut(cohort.held_out_folds(train, FOLDS, settings.seed))


def held_out_before(train: Sequence[str], recorded: Sequence[Sequence[str]]) -> HeldOut | None:
    """What the networks of a resumed run hold out of its training ids, from its record; None if it records nothing."""
    fold = {name: number for number, names in enumerate(recorded) for name in names}
    return HeldOut(tuple(fold.get(name, -1) for name in train)) if fold else None


def predict_held_out(
    networks: Sequence[FusionModel], parts: Sequence[CaseDataset], method: Use | None, settings: Settings,
    progress: Progress | None = None, *, kept: dict[FusionModel, Sampler] | None = None,
) -> dict[str, HeadResult]:
    """Results for held-out cases, each from the network that held it out: `parts` has the cases of each network.

    A method that needs several networks gets one here, and gives its plain results. `kept` as in `predict`.
    """
    alone = method if members_of(method) == 1 else None
    done, total, results = 0, sum(len(part) for part in parts), []
    for network, part in zip(networks, parts, strict=True):
        results.append(predict(network, part, alone, settings, kept=kept))
        done += len(part)
        if progress:
            progress(done, total)
    return joined(results)
