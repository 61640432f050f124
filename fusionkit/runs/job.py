"""A requested training: network, settings, folder, and the use of the cases."""

from __future__ import annotations

import os
from collections.abc import Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Protocol

from torch import nn

from fusionkit.data.loading import CaseDataset
from fusionkit.data.preprocessing import Preprocessing
from fusionkit.inference.ensemble import members_of
from fusionkit.inference.predict import Settings
from fusionkit.progress import Progress
from fusionkit.runs.hold_out import HeldOut, held_out_of
from fusionkit.runs.setup import Setup, cache_for
from fusionkit.training.settings import TrainingSettings


class Reporter(Protocol):
    """Receives messages and progress; the command line's console is one."""

    def line(self, text: str = "") -> None:
        """One line for people."""

    def progress(self, label: str) -> AbstractContextManager[Progress]:
        """A progress bar, updated with `(done, total)`."""


@dataclass(frozen=True)
class Parts:
    """Rows of a cohort for training, validation and test."""

    train: tuple[int, ...]
    validation: tuple[int, ...]
    test: tuple[int, ...]


@dataclass(frozen=True)
class Precomputed:
    """Parts of one training that were computed once for several.

    `modules` are nodes that its networks start from instead of new ones; `datasets` replace the cases of a part (train,
    validation, test) and contain the outputs of such nodes besides the inputs.
    """

    modules: Mapping[str, nn.Module]
    datasets: Mapping[str, CaseDataset]


@dataclass(frozen=True)
class Job:
    """One training on one split of the cases: the network, the settings, the folder and the reporter.

    `fold` is None without folds, `given` if nothing was computed in advance. `folds` is how many are trained one after
    the other; the jobs of these share `reported`, the notes that were printed.
    """

    setup: Setup
    settings: TrainingSettings
    folder: Path
    data: Path
    reporter: Reporter
    resume: bool = False
    plots: bool = True
    fold: int | None = None
    given: Precomputed | None = None
    folds: int = 1
    reported: set[str] = field(default_factory=set)

    def report_once(self, text: str) -> None:
        """A line that another fold may have printed already."""
        if text not in self.reported:
            self.reported.add(text)
            self.reporter.line(text)

    @property
    def inference(self) -> Settings:
        """How the trained networks are run on cases they were not trained on."""
        own = self.settings
        workers = 0 if own.workers == "auto" else own.workers
        return Settings(own.batch_size, own.device, own.precision, own.seed, workers)


@dataclass(frozen=True)
class JobCases:
    """The cases of one training, preprocessed by the statistics of its training cases.

    `recorded` is what the networks of a resumed run hold out, which is not drawn again.
    """

    job: Job
    parts: Parts
    preprocessing: Preprocessing
    recorded: HeldOut | None = None

    def dataset(self, part: str) -> CaseDataset:
        """The cases of a part: train, validation or test."""
        given = self.job.given
        if given is not None and part in given.datasets:
            return given.datasets[part]
        return self.job.setup.cohort.dataset(getattr(self.parts, part), self.preprocessing, cache_for(self.job.data))

    @cached_property
    def training(self) -> CaseDataset:
        """The training cases, with those that networks hold out."""
        return self.dataset("train")

    @cached_property
    def validation(self) -> CaseDataset | None:
        """The validation cases shared by all networks, None without any."""
        return self.dataset("validation") if self.parts.validation else None

    @cached_property
    def held_out(self) -> HeldOut:
        """The training cases that each network holds out."""
        return self.recorded or held_out_of(self.job.setup.cohort, self.parts.train, self.job.settings,
                                            bool(self.parts.validation))

    @property
    def networks(self) -> int:
        """The number of networks to train."""
        return self.held_out.networks(members_of(self.job.setup.plan.uncertainty))

    def watched(self, member: int) -> CaseDataset | None:
        """The cases on which a network's best epoch is selected, None without any."""
        return self.training.some(self.held_out.places(member)) if self.held_out.folds else self.validation


def is_main() -> bool:
    """Whether this process is the one that writes, among the processes of torchrun."""
    return int(os.environ.get("RANK", "0")) == 0


def parts_of(setup: Setup, settings: TrainingSettings, fold: int | None) -> Parts:
    """Training, validation and test cases; a share that is held out of the training cases are validation cases."""
    cohort = setup.cohort
    if fold is not None:
        train, test = cohort.fold(fold)
        validation: tuple[int, ...] = ()
    elif cohort.split_kind == "none":
        train, validation, test = cohort.rows, (), ()
    else:
        train, validation, test = (cohort.split_rows("train"), cohort.split_rows("validation"),
                                   cohort.split_rows("test"))
    share = settings.hold_out_for(len(train))
    if share != "folds" and share and not validation:
        train, validation = cohort.hold_out(train, share, settings.seed)
    return Parts(train, validation, test)
