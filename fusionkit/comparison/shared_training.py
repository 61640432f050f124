"""Trains the networks of one split in lockstep: the frozen nodes that they share are computed once."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from torch import nn

from fusionkit.comparison.candidates import Candidate, ComparisonPlan
from fusionkit.comparison.feature_cache import CachedCases, CachedFeatures, Source, compute, results_of
from fusionkit.comparison.frozen_nodes import edges, inputs_left, modules_of, same_weights, shareable_nodes, shared_with
from fusionkit.comparison.splits import narrowed
from fusionkit.data.dataset import CaseDataset, FileInput
from fusionkit.data.loading import Cohort
from fusionkit.files import read_json, write_json
from fusionkit.inference.ensemble import member_folder, members_of
from fusionkit.network.build import build_plan
from fusionkit.network.model import FusionModel
from fusionkit.progress import Progress
from fusionkit.runs.hold_out import held_out_of
from fusionkit.runs.job import Precomputed, Reporter, parts_of
from fusionkit.runs.lock import waited_for
from fusionkit.runs.setup import Setup, cache_for
from fusionkit.training.distributed import own_randomness, wants_cpu
from fusionkit.training.lockstep import LockstepRun, SharedBatches, advance_all, begin
from fusionkit.training.loop import TrainingRun
from fusionkit.training.settings import FOLDS, TrainingSettings
from fusionkit.training.signals import Interruption

FEATURES, SHARING = "features", "sharing.json"
Reuse = Literal["auto", "features", "batches", "nothing"]
_ROUNDING = 1e-5
"""Differences of features up to this share of the largest one are due to summation order, not to the batch."""
_SAMPLE = 4
"""Cases of a batch that are computed again where features may differ in their last bits."""
_REFUSED = {
    "room": "features of all cases cannot be cached (no disk space, or not float32)",
    "rounding": "on this processor features computed in advance differ in their last bits from those of a batch "
                "(--reuse features would use them anyway)",
    "batch": "the outputs of frozen nodes depend on the other cases of a batch",
    "precision": "in half precision features are not cached",
    "drawn": "training draws the items of some cases anew in every epoch ('most')",
    "augmentation": "augmentation changes the inputs of frozen nodes in every epoch",
    "compile": "with compile every network is compiled as a whole",
}
_SAME = "on this processor features computed in advance are bit-identical to those of a batch"
_ASKED = "as requested"


@dataclass(frozen=True)
class RunPaths:
    """Where one split of a comparison is stored.

    `runs` are the folders of the candidates' runs, `folder` that of the comparison, `data` the data file.
    """

    runs: Mapping[str, Path]
    folder: Path
    data: Path


@dataclass
class Compared:
    """What features were held against: the sizes of the batches, in training or evaluation, how many cases that were,
    and the largest difference found, as a share of the largest feature."""

    sizes: set[tuple[int, bool]] = field(default_factory=set)
    cases: int = 0
    apart: float = 0.0


class SharedTrainer:
    """The candidates of a comparison that share frozen nodes, one split after the other.

    `reuse` is what they share: `features`, computed once and cached on disk, which may differ from those of a batch in
    their last bits; `batches`, computed once for each batch; `nothing`. `auto` uses features if these are bit-identical
    to what training would compute, else batches: the weights are the same, and the choice, which may depend on the
    processor, is reported and recorded in `sharing.json`.
    """

    def __init__(self, comparison: ComparisonPlan, reuse: Reuse, reporter: Reporter) -> None:
        self.comparison, self.reuse, self.reporter = comparison, reuse, reporter
        settings, plan = comparison.settings, comparison.reference.plan
        off = ("compile" if settings.compile else
               "augmentation" if comparison.cohort.description.augmentation is not None else None)
        found = frozenset() if reuse == "nothing" else shareable_nodes(plan, comparison.node,
                                                                       settings.modality_dropout > 0)
        self.off = off if found else None
        shared = frozenset() if off else found
        # With a modality dropout of its own a network meets other batches than the rest.
        self.shared = {each.name: frozenset() if each.dropout else shared_with(each.plan, plan, shared)
                       for each in comparison.candidates}
        self.edges = edges(plan, shared)
        self.first: FusionModel | None = None
        self.compared = Compared()
        self.reported: set[str] = set()

    def train(self, cohort: Cohort, settings: TrainingSettings, fold: int | None, place: RunPaths, label: str
              ) -> Mapping[str, Precomputed]:
        """Train all unfinished networks; returns what each run is completed with, by candidate.

        A candidate that shares nothing is not included and is trained separately.
        Raises: Interrupted, after all have saved, on Ctrl-C or SIGTERM.
        """
        waiting = self._sharing(place)
        if not waiting:
            return {}
        division = _Division(self, cohort, settings, fold, place)
        for member in range(division.held_out.networks(members_of(self.comparison.reference.plan.uncertainty))):
            learned = division.held_out.learned(division.training, member)
            own = settings.for_network(member, len(learned))
            if not division.train(waiting, own, member, f"{label}, network {member + 1}" if member else label):
                return {}
        return {each.name: division.given(each) for each in waiting}

    def trained(self, cohort: Cohort, settings: TrainingSettings, fold: int | None, place: RunPaths
                ) -> Mapping[str, Precomputed]:
        """What the runs of `place` are completed with whose networks another process has trained, by candidate."""
        names = self._sharing(place)
        if not names:
            return {}
        division = _Division(self, cohort, settings, fold, place)
        own = settings.for_network(0, len(division.held_out.learned(division.training, 0)))
        if division.network(own) is None:
            return {}
        division.prepare(own, lambda done, total: None)
        return {each.name: division.given(each) for each in names}

    def _sharing(self, place: RunPaths) -> list[Candidate]:
        """The candidates with a run at a place that share frozen nodes; if none may, that is told."""
        if self.off:
            self.took("nothing", _REFUSED[self.off], place.folder)
        return [each for each in self.comparison.candidates if self.shared[each.name] and each.name in place.runs]

    def report(self, text: str) -> None:
        """Print a line, once only."""
        if text not in self.reported:
            self.reported.add(text)
            self.reporter.line(text)

    def took(self, way: Reuse, why: str, folder: Path) -> None:
        """Report the chosen mode and the reason, and record them with the comparison."""
        self.report(f"--reuse {self.reuse}: {way}; {why}")
        chosen, before = {"reuse": self.reuse, "taken": way, "why": why}, ways_taken(folder)
        if chosen not in before:
            with waited_for(folder / f"{SHARING}.lock"):
                before = ways_taken(folder)
                write_json(folder / SHARING, [*before, *([chosen] if chosen not in before else [])])


def ways_taken(folder: Path) -> list[dict[str, Any]]:
    """How the networks of a comparison have shared frozen nodes: the requested mode, the one used, and why.

    More than one if splits differ, or if the comparison was resumed on another processor.
    """
    try:
        kept = read_json(folder / SHARING)
    except (OSError, ValueError):
        return []
    return kept if isinstance(kept, list) else []


class _Division:
    """One split into training and test cases."""

    def __init__(self, trainer: SharedTrainer, cohort: Cohort, settings: TrainingSettings, fold: int | None,
                 place: RunPaths) -> None:
        self.trainer, self.cohort, self.place, self.fold = trainer, cohort, place, fold
        self.parts = parts_of(Setup(trainer.comparison.reference.plan, cohort), settings, fold)
        self.held_out = held_out_of(cohort, self.parts.train, settings, bool(self.parts.validation))
        self.preprocessing = cohort.fit(self.parts.train)
        self.training = self._read("train")
        self.drawn = _drawn(self.training)
        self.first: FusionModel | None = None
        self.known: dict[str, CachedFeatures] = {}

    def train(self, waiting: Sequence[Candidate], settings: TrainingSettings, member: int, label: str) -> bool:
        """Train one network of each; False if their frozen nodes have different weights."""
        trainer, reporter = self.trainer, self.trainer.reporter
        reference, first = trainer.comparison.reference, self.network(settings)
        if first is None:
            return False
        models = {each.name: build_plan(each.plan, settings.seed, self._modules(each), self.fold) for each in waiting}
        with reporter.progress(f"{label}: features") as update:
            self.prepare(settings, update)
        with Interruption() as interruption, own_randomness(settings):
            trainings = self._begun(waiting, models, settings, member, interruption)
            cached = "train" in self.known
            network = first.to(trainings[0].processes.device).train()
            learned = self.held_out.learned(self._all_read("train"), member)
            batches = SharedBatches(trainings[0], learned, network, () if cached else trainer.edges)
            count = len(trainings)
            who = f"{count} networks are trained in lockstep" if count > 1 else "1 network is trained"
            trainer.report(f"{who}; the frozen nodes before {trainer.comparison.node!r} are computed once "
                           f"{'for all epochs' if cached else 'for each batch'}: "
                           f"{', '.join(sorted(trainer.shared[reference.name]))}")
            try:
                with reporter.progress(f"{label}: training {len(trainings)} networks") as update:
                    advance_all(trainings, batches, interruption, update)
            except torch.OutOfMemoryError:
                trainer.report("there is too little memory to train in lockstep: they are trained one after the other")
            finally:
                for training in trainings:
                    training.close()
        return True

    def network(self, settings: TrainingSettings) -> FusionModel | None:
        """The network whose frozen nodes all share; None where those of the reference have other weights."""
        trainer, reference = self.trainer, self.trainer.comparison.reference
        model, shared = build_plan(reference.plan, settings.seed, fold=self.fold), trainer.shared[reference.name]
        if self.first is None:
            # One network for all splits with the same frozen weights, or each would keep its own.
            kept = trainer.first
            if kept is None or not same_weights(kept, model, shared):
                kept, trainer.compared = model, Compared()
            self.first = trainer.first = kept
        return self.first if same_weights(self.first, model, shared) else None

    def _begun(self, waiting: Sequence[Candidate], models: Mapping[str, FusionModel], settings: TrainingSettings,
               member: int, interruption: Interruption) -> list[TrainingRun]:
        runs = []
        for each in waiting:
            cached = self._cached(each, self.cohort)
            training = cached.get("train", self.training)
            if self.held_out.folds:
                watched: CaseDataset | None = training.some(self.held_out.places(member))
            else:
                watched = cached.get("validation", self._read("validation")) if self.parts.validation else None
            runs.append(LockstepRun(models[each.name], self.held_out.learned(training, member), watched,
                                    member_folder(self.place.runs[each.name], member)))
        return begin(runs, settings, interruption)

    def given(self, candidate: Candidate) -> Precomputed:
        """What the run of one candidate is completed with: the frozen nodes, and the cases with their features."""
        return Precomputed(self._modules(candidate), self._cached(candidate, narrowed(self.cohort, candidate.inputs)))

    def _modules(self, candidate: Candidate) -> dict[str, nn.Module]:
        """The frozen nodes of a candidate, taken from the first network."""
        assert self.first is not None
        return modules_of(self.first, self.trainer.shared[candidate.name])

    def _cached(self, candidate: Candidate, cohort: Cohort) -> dict[str, CaseDataset]:
        """The parts of a cohort with cached features, for one candidate."""
        shared = self.trainer.shared[candidate.name]
        names, read = edges(candidate.plan, shared), inputs_left(candidate.plan, shared)
        return {part: CachedCases(self._dataset(getattr(self.parts, part), cohort), known, names, read)
                for part, known in self.known.items()}

    def _all_read(self, part: str) -> CaseDataset:
        """The cases of a part with all inputs that any of the networks reads."""
        read, shared = self._read(part), self.trainer.shared
        if part not in self.known:
            return read
        left = {name for each in self.trainer.comparison.candidates if shared[each.name]
                for name in inputs_left(each.plan, shared[each.name])}
        return CachedCases(read, self.known[part], self.trainer.edges, left)

    def _read(self, part: str) -> CaseDataset:
        return self._dataset(getattr(self.parts, part), self.cohort)

    def _dataset(self, rows: Sequence[int], cohort: Cohort) -> CaseDataset:
        return cohort.dataset(rows, self.preprocessing, cache_for(self.place.data))

    def prepare(self, settings: TrainingSettings, update: Progress) -> None:
        """Compute the frozen nodes: for all cases, or else for those that are in the same batches every time."""
        if self.known:
            return
        why, asked = _ASKED, self.trainer.reuse == "batches"
        if settings.precision != "fp32":
            self.trainer.took("batches", why if asked else _REFUSED["precision"], self.place.folder)
            return
        if self.drawn and not asked:
            why = _REFUSED["drawn"]
        elif not asked:
            began = time.perf_counter()
            known = self._computed(self.cohort.rows, settings, update)
            apart = self._apart(known, settings) if known is not None else math.inf
            if known is not None and apart <= (_ROUNDING if self.trainer.reuse == "features" else 0):
                self.known = dict.fromkeys(("train", "validation", "test"), known)
                self.trainer.took("features", _SAME if not apart else _ASKED, self.place.folder)
                apart_by = f", and differ by {apart:.1e} of the largest" if apart else ", and are the same"
                self.trainer.report(f"features of {len(self.cohort)} cases: {time.perf_counter() - began:.1f} s; those "
                                    f"of {self.trainer.compared.cases} cases were computed again in batches{apart_by}")
                return
            why = _REFUSED["room" if known is None else "rounding" if apart <= _ROUNDING else "batch"]
        self.trainer.took("batches", why, self.place.folder)
        for part in ("validation", "test"):
            rows = getattr(self.parts, part)
            known = self._computed(rows, settings, update) if rows else None
            if known is not None:
                self.known[part] = known

    def _source(self, rows: Sequence[int], settings: TrainingSettings) -> Source:
        assert self.first is not None
        device = torch.device("cpu" if wants_cpu(settings) else "cuda")
        return Source(self.first, self._dataset(rows, self.cohort), settings.batch_size, device)

    def _computed(self, rows: Sequence[int], settings: TrainingSettings, update: Progress) -> CachedFeatures | None:
        return compute(self._source(rows, settings), self.trainer.edges, self.place.folder / FEATURES, update)

    def _apart(self, known: CachedFeatures, settings: TrainingSettings) -> float:
        """How far features differ from those computed in the batches of training, validation and test.

        0 if bit-identical, else the largest difference as a share of the largest feature.
        """
        assert self.first is not None
        compared = self.trainer.compared
        for rows, training in self._batches_compared(settings):
            # Only of masked tokens do batches of one size differ: in their padding.
            if (len(rows), training) in compared.sizes and not self.training.counts:
                continue
            compared.sizes.add((len(rows), training))
            compared.cases += len(rows)
            self.first.train(training)
            found = results_of(self._source(rows, settings), self.trainer.edges, range(len(rows)))
            for name, value in found.items():
                kept = known.of(name, rows)
                largest = max(float(kept.abs().max()), torch.finfo(kept.dtype).tiny)
                compared.apart = max(compared.apart, float((value.cpu() - kept).abs().max()) / largest)
        return compared.apart

    def _batches_compared(self, settings: TrainingSettings) -> Iterator[tuple[Sequence[int], bool]]:
        """Batches of training, and of evaluation: all sizes that occur, on which the summation order may depend.

        Where rounding is allowed a few cases of each part show what a batch changes.
        """
        shuffled = np.random.default_rng(settings.seed).permutation(list(self.parts.train)).tolist()
        held = [[self.parts.train[place] for place in self.held_out.places(member)]
                for member in range(FOLDS if self.held_out.folds else 0)]
        size, most = settings.batch_size, _SAMPLE if self.trainer.reuse == "features" else None
        for rows in (shuffled, self.parts.validation, self.parts.test, *held):
            # All batches of a part except the last have one size.
            last = len(rows) - (len(rows) % size or size)
            for several in ([rows[:size]] if rows is shuffled else []) + ([rows[last:]] if rows else []):
                yield several[:most], rows is shuffled


def _drawn(training: CaseDataset) -> bool:
    """Whether training takes other items of some case than evaluation does."""
    for name, source in training.inputs.items():
        bag = source.spec.bag if isinstance(source, FileInput) else None
        least = min((most for most in (bag.most, bag.most_evaluate) if most is not None), default=None) if bag else None
        counts = training.counts.get(name, {})
        if least is not None and any(counts.get(row, 0) > least for row in training.rows):
            return True
    return False
