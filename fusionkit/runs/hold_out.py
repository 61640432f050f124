"""Training cases that each network of a run holds out: it chooses its best epoch on them, and is calibrated on them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from fusionkit.data.loading import CaseDataset, Cohort
from fusionkit.inference.ensemble import members_of
from fusionkit.inference.predict import HeadResult, Settings, predict
from fusionkit.network.model import FusionModel
from fusionkit.planning.resolve import Use
from fusionkit.progress import Progress
from fusionkit.runs.results import joined
from fusionkit.training.settings import FOLDS, TrainingSettings

HELD_OUT_FOLDS = "cases held out of training"
"""What a calibration was fitted on where each network held out cases of its own."""


@dataclass(frozen=True)
class HeldOut:
    """`folds` has, for each training case in order, the network that holds it out, -1 for none.

    It is empty where the networks have no cases of their own to hold out: with named validation cases, with a share
    that all of them hold out, or without either.
    """

    folds: tuple[int, ...] = ()

    def networks(self, asked: int) -> int:
        """How many networks are trained, where the uncertainty method asks for some."""
        return FOLDS if self.folds and asked == 1 else asked

    def learned(self, cases: CaseDataset, member: int) -> CaseDataset:
        """Of the training cases those that a network learns from."""
        if not self.folds:
            return cases
        return cases.some([place for place, fold in enumerate(self.folds) if fold != member % FOLDS])

    def places(self, member: int) -> list[int]:
        """The places, among the training cases, of those that a network holds out."""
        return [place for place, fold in enumerate(self.folds) if fold == member % FOLDS]


def held_out_of(cohort: Cohort, train: Sequence[int], settings: TrainingSettings, named: bool) -> HeldOut:
    """What the networks of a training hold out of its training rows; `named` says that there are validation cases.

    Raises: DataError with `too-few-cases`.
    """
    if settings.hold_out != "folds" or named:
        return HeldOut()
    return HeldOut(cohort.held_out_folds(train, FOLDS, settings.seed))


def predict_held_out(
    networks: Sequence[FusionModel], parts: Sequence[CaseDataset], method: Use | None, settings: Settings,
    progress: Progress | None = None,
) -> dict[str, HeadResult]:
    """What is said of cases that networks held out, each by the network that did: `parts` has those of each network.

    A method that asks for several networks has one here, and gives its plain results.
    """
    alone = method if members_of(method) == 1 else None
    done, total, results = 0, sum(len(part) for part in parts), []
    for network, part in zip(networks, parts, strict=True):
        results.append(predict(network, part, alone, settings))
        done += len(part)
        if progress:
            progress(done, total)
    return joined(results)
