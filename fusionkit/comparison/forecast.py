"""What a comparison will take, told before it runs: time from a few measured steps, memory and disk from the plans."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch

from fusionkit.comparison.candidates import Candidate, ComparisonPlan
from fusionkit.comparison.shared_training import Reuse, SharedTrainer
from fusionkit.comparison.simple_rows import scikit_learn_rows
from fusionkit.comparison.splits import narrowed
from fusionkit.comparison.train import Unit, settings_of
from fusionkit.comparison.tuning import HELD_OUT, Tuning
from fusionkit.data.batch import Batch, collate
from fusionkit.data.dataset import CaseDataset
from fusionkit.data.loading import Cohort
from fusionkit.inference.ensemble import members_of
from fusionkit.network.build import build_plan
from fusionkit.network.model import FusionModel
from fusionkit.runs.hold_out import held_out_of
from fusionkit.runs.setup import cache_for
from fusionkit.training.batch_order import smallest_share
from fusionkit.training.estimate import Estimate, bytes_text, estimate, longest_of, seconds_text, step_seconds
from fusionkit.training.objective import arguments
from fusionkit.training.settings import TrainingSettings

SHARED = "shared"
"""The key of the networks that are trained in lockstep, among those of single ones, which are their folders."""
_WORTH_SECONDS = 60.0
_OPERATIONS, _STEP_SECONDS = 2e10, 2e-3  # of a fast core; what a step takes however small the network
_PASSES = 3  # a backward pass is about two forward ones
_LEAST_OWN = 0.05
_EACH_SECONDS = 1.0  # building, saving and testing one network, however small: 0.4 to 1.2 s were seen


@dataclass(frozen=True)
class Forecast:
    """What the trainings of a comparison take.

    `seconds` are those of one split in one process, of each network that is trained by itself and of those in lockstep,
    by `SHARED` or folder; `memory` the bytes of one process beside its data, `disk` those of the folder. `tables` are
    the seconds of scikit-learn's rows for one split, with their trials: the process that writes the report fits them
    after all networks. Predictions, metrics and the report come on top of it; a training that stops early takes less.
    """

    seconds: Mapping[str, float]
    splits: int
    rows: int
    memory: int
    disk: int
    available: int | None = None
    tables: float = 0.0

    @property
    def split_seconds(self) -> float:
        """One split of all networks in one process."""
        return sum(self.seconds.values())

    def total(self, jobs: int = 1, splits: int | None = None) -> float:
        """The seconds of some splits, else of all, in so many processes: no less than the longest unit."""
        count = self.splits if splits is None else splits
        return max(self.split_seconds * count / jobs, max(self.seconds.values()))

    @property
    def slowest(self) -> tuple[str, float] | None:
        """The network that takes more than half of the time of several that are trained by themselves."""
        name = max(self.seconds, key=lambda each: self.seconds[each])
        alone = name != SHARED and len(self.seconds) > 1 and 2 * self.seconds[name] > self.split_seconds
        return (name, self.seconds[name]) if alone else None

    def lines(self, jobs: int = 1) -> list[str]:
        """The forecast as text."""
        folds = f"{self.splits} splits of" if self.splits > 1 else "one split of"
        one = f", {seconds_text(self.split_seconds)} for one split" if self.splits > 1 else ""
        many = f", at best {seconds_text(self.total(jobs))} in {jobs} jobs" if jobs > 1 else ""
        found = [f"forecast from a few measured steps: {folds} {self.rows} networks take about "
                 f"{seconds_text(self.total())} in one process{one}{many}; less where training stops early, and "
                 "predictions, metrics and report come on top",
                 f"at most {bytes_text(self.memory)} of memory for the networks of {'each' if jobs > 1 else 'one'} "
                 f"process, and about {bytes_text(self.disk)} on disk"]
        if self.tables:
            found.append(f"scikit-learn's rows take about {seconds_text(self.tables * self.splits)} more after that, "
                         "in one process")
        if self.slowest:
            name, seconds = self.slowest
            found.append(f"{name} takes {seconds_text(seconds)} of the {seconds_text(self.split_seconds)} of a split")
        if self.available is not None and self.memory * jobs > self.available:
            found.append(f"this may not fit into {bytes_text(self.available)} of memory: use fewer jobs, or a smaller "
                         "--batch-size with --accumulate")
        return found

    def to_json(self, jobs: int) -> dict[str, Any]:
        """The figures as plain data."""
        return {**asdict(self), "split_seconds": self.split_seconds, "total_seconds": self.total(jobs), "jobs": jobs}


def is_worth_it(comparison: ComparisonPlan, units: Sequence[Unit], tuning: Tuning | None) -> bool:
    """Whether a comparison takes so long, by its multiply-adds, that measuring steps of every network is little."""
    seconds = 0.0
    for each in comparison.candidates:
        assert each.plan.total is not None, "candidates are measured; please report"
        settings = comparison.settings
        steps = settings.epochs * -(-len(units[0].train) // settings.batch_size)
        computing = _PASSES * each.plan.total.multiply_adds * settings.epochs * len(units[0].train) / _OPERATIONS
        seconds += (computing + steps * _STEP_SECONDS) * _trainings(tuning)
    return seconds * len(units) > _WORTH_SECONDS


def forecast(comparison: ComparisonPlan, cohort: Cohort, units: Sequence[Unit], data: Path, trainer: SharedTrainer, *,
             reuse: Reuse, tuning: Tuning | None, tables: bool = False) -> Forecast:
    """Measure a few steps of every network on real cases of the first split, without training any.

    With `tables` scikit-learn's rows are fitted once to its training cases, with their own settings.
    """
    settings, train = settings_of(comparison, 0), units[0].train
    sharing = {name for name, shared in trainer.shared.items() if shared and tuning is None}
    networks = held_out_of(cohort, train, settings, False).networks(
        members_of(comparison.reference.plan.uncertainty))
    trainings = networks * _trainings(tuning)
    around = _EACH_SECONDS * networks * (1 + (tuning.trainings if tuning else 0))
    seconds: dict[str, float] = {}
    memory, together, disk, available = 0, 0, 0, None
    features = 0
    frozen = _Measured(comparison.reference, cohort, train, settings, data)
    shared = frozen.seconds_of(trainer.edges) if sharing else 0.0
    for each in comparison.candidates:
        own = _Measured(each, cohort, train, settings, data)
        found = own.estimate
        available = found.available_bytes
        disk += 2 * found.weight_bytes + found.optimiser_bytes
        steps = found.batches * found.epochs * trainings
        if each.name in sharing:
            kept = found.weight_bytes + found.gradient_bytes + found.optimiser_bytes
            together += kept + (found.share * found.case_bytes if together == 0 else 0)
            seconds[SHARED] = seconds.get(SHARED, 0.0) + around + steps * max(
                own.step - shared, _LEAST_OWN * own.step)
        else:
            memory = max(memory, found.memory_bytes)
            seconds[each.folder] = around + steps * (own.step + own.reading)
    if sharing:
        times = 1 if reuse == "features" else frozen.estimate.epochs * networks
        seconds[SHARED] += times * frozen.estimate.batches * (shared + frozen.reading)
        if reuse in ("auto", "features"):
            features = 4 * len(cohort) * _width(comparison, trainer)
    return Forecast(seconds, len(units), len(comparison.candidates), max(memory, together),
                    disk * networks * len(units) + features, available,
                    _trainings(tuning) * _table_seconds(comparison, cohort, units[0]) if tables else 0.0)


def _table_seconds(comparison: ComparisonPlan, cohort: Cohort, unit: Unit) -> float:
    """The seconds in which every row of scikit-learn is fitted once to the training cases of a split.

    The less of two times: the first one imports, which trials would multiply.
    """
    heads = [head for head in comparison.reference.plan.heads if head.name in comparison.heads]
    found = [scikit_learn_rows([cohort], [unit], heads, comparison.settings.seed)[0] for _ in range(2)]
    return min(sum(repeats[0].seconds for repeats in made.values()) for made in found)


def _trainings(tuning: Tuning | None) -> float:
    """How many trainings on all cases of a split a network has: trials learn from a part of them."""
    if tuning is None:
        return 1.0
    return 1.0 + tuning.trainings * (1 - (1 / tuning.inner if tuning.inner else HELD_OUT))


def _width(comparison: ComparisonPlan, trainer: SharedTrainer) -> int:
    """The numbers that frozen nodes give for one case."""
    values = {value.name: value for node in comparison.reference.plan.nodes for value in node.values}
    return sum(values[name].shape.count for name in trainer.edges)


class _Measured:
    """One network on one batch of real cases."""

    def __init__(self, candidate: Candidate, cohort: Cohort, train: Sequence[int], settings: TrainingSettings,
                 data: Path) -> None:
        own = narrowed(cohort, candidate.inputs)
        cases: CaseDataset = own.dataset(train, own.fit(train), cache_for(data))
        self.settings = settings.for_network(0, len(cases))
        self.estimate: Estimate = estimate(candidate.plan, self.settings, len(cases), longest_of(cases))
        self.model: FusionModel = build_plan(candidate.plan, self.settings.seed, fold=0)
        self.batch, self.reading = _read(cases, min(self.estimate.share, len(cases)))
        can = len(self.batch.index) >= smallest_share(self.model.train())
        self.step = step_seconds(self.model, self.batch, self.settings) if can else 0.0

    def seconds_of(self, names: Sequence[str]) -> float:
        """The least time in which some nodes are computed for the batch."""
        found = []
        with torch.no_grad():
            for _ in range(2):
                began = time.perf_counter()
                placed = self.batch.to(next(iter(self.model.parameters())).device)
                self.model.eval().results_at(names, *arguments(self.model, placed)[:2])
                found.append(time.perf_counter() - began)
        return min(found)


def _read(cases: CaseDataset, count: int) -> tuple[Batch, float]:
    """A batch, and the seconds in which it is read when its files were prepared before."""
    batch = collate([cases[place] for place in range(count)])
    began = time.perf_counter()
    collate([cases[place] for place in range(count)])
    return batch, time.perf_counter() - began
