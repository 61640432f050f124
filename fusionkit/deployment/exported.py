"""An exported folder, opened: cases in, each head's results out, without torch where the network is ONNX."""
# Axes: N cases, B batch, K columns of a head.

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from fusionkit.components.training_outcomes import SurvivalCurves, joined_curves, mean_curves
from fusionkit.data.dataset import CaseDataset
from fusionkit.data.description import DataDescription, describe
from fusionkit.data.loading import Cohort, load_cohort
from fusionkit.data.preprocessing import Preprocessing
from fusionkit.deployment.batches import Array, stacked
from fusionkit.deployment.networks import CURVE, DETAIL, VALID, OpenNetwork, opened_network
from fusionkit.deployment.record import Exported, ExportedHead, NamedHead, digest_of, read_record
from fusionkit.deployment.views import Views, mean_over_views, views_of
from fusionkit.evaluation.calibration import Calibration, read_calibration
from fusionkit.evaluation.thresholds import Thresholds, read_thresholds
from fusionkit.inference.details import pooled
from fusionkit.inference.head_result import HeadResult
from fusionkit.progress import Progress
from fusionkit.registry.lookup import Registry
from fusionkit.runs.decisions import decided
from fusionkit.runs.fold_means import mean_of
from fusionkit.runs.results import calibrated
from fusionkit.runs.seen_cases import SeenCases
from fusionkit.runs.training_outcomes import read_training_outcomes, with_training_outcomes

DATA, PREPROCESSING = "data.yaml", "preprocessing.json"
Outputs = Mapping[str, Array]


@dataclass(frozen=True)
class ExportedNetwork:
    """The networks of an exported run, or of one fold; `kept` is what the run keeps of its training cases."""

    folder: Path
    record: Exported
    heads: Mapping[str, NamedHead]
    preprocessing: Preprocessing
    kept: Mapping[str, Mapping[str, Any]]

    @cached_property
    def networks(self) -> list[OpenNetwork]:
        """The networks, read when they are first needed.

        Raises: GraphError with `missing-package` or `unreadable-export`.
        """
        return [opened_network(self.folder / name, self.record) for name in self.record.networks]

    def views(self, cases: CaseDataset, position: int) -> Views:
        """One case of a dataset in the form that `outputs` takes."""
        return views_of(cases, position, self.record.inputs, self.record.tta)

    def outputs(self, cases: Sequence[Views]) -> list[list[Outputs]]:
        """What each network gives for some cases, for each of their views."""
        return [[network.run(batch) for network in self.networks]
                for batch in (stacked(view, self.record.inputs) for view in zip(*cases, strict=True))]

    def results(self, batches: Sequence[Sequence[Sequence[Outputs]]]) -> dict[str, HeadResult]:
        """Each head's results from the outputs for each batch; targets are unknown."""
        found = [{head.name: _result(self.heads[head.name], head, view) for head in self.record.heads}
                 for view in zip(*batches, strict=True)]
        return with_training_outcomes(found[0] if len(found) == 1 else mean_over_views(found), self.kept)

    def predicted(self, cases: CaseDataset, progress: Progress | None = None) -> dict[str, HeadResult]:
        """Each head's results for all cases of a dataset."""
        batches, size = [], self.record.batch_size
        for start in range(0, len(cases), size):
            end = min(start + size, len(cases))
            batches.append(self.outputs([self.views(cases, place) for place in range(start, end)]))
            if progress:
                progress(end, len(cases))
        rows = list(cases.rows)
        return {name: replace(result, targets=np.asarray(cases.targets[name].values[rows], dtype=np.float64),
                              known=np.asarray(cases.targets[name].present[rows]))
                for name, result in self.results(batches).items()}


@dataclass(frozen=True)
class OpenedExport:
    """What an exported folder holds: the networks of a run, or those of each fold, whose results are averaged."""

    folder: Path
    record: Exported
    parts: tuple[ExportedNetwork, ...]
    calibration: Calibration | None
    thresholds: Thresholds | None
    registry: Registry

    @property
    def first(self) -> ExportedNetwork:
        """The networks of the run, or of the first fold."""
        return self.parts[0]

    def describe(self, data: str | Path, roots: Sequence[str | Path] = ()) -> DataDescription:
        """A data file. Raises: DataError."""
        return describe(data, roots=roots, registry=self.registry)

    def cohort(self, description: DataDescription, progress: Progress | None = None, *, workers: int | None = None
               ) -> Cohort:
        """Its cases, which need no targets; nothing is cached on disk.

        Raises: DataError with everything that is wrong.
        """
        return load_cohort(description, {name: head.target for name, head in self.first.heads.items()},
                           {item.name: item.need for item in self.record.inputs}, False, workers=workers,
                           progress=progress, preprocessing=self.first.preprocessing)

    def predicted(self, cohort: Cohort, rows: Sequence[int], progress: Progress | None = None
                  ) -> dict[str, HeadResult]:
        """Each head's results for some cases, calibrated and decided as the run would."""
        return self._together([part.predicted(cohort.dataset(rows, part.preprocessing), progress)
                               for part in self.parts])

    def prepared(self, cohort: Cohort) -> list[Views]:
        """The first case of a cohort, as each part takes it."""
        return [part.views(cohort.dataset((0,), part.preprocessing), 0) for part in self.parts]

    def results(self, cases: Sequence[Sequence[Views]]) -> dict[str, HeadResult]:
        """Each head's results for some prepared cases, likewise; targets are unknown."""
        return self._together([part.results([part.outputs(own)])
                               for part, own in zip(self.parts, zip(*cases, strict=True), strict=True)])

    def _together(self, found: Sequence[Mapping[str, HeadResult]]) -> dict[str, HeadResult]:
        return decided(calibrated(mean_of(found) if len(found) > 1 else found[0], self.calibration), self.thresholds)

    def seen(self, ids: Sequence[str]) -> SeenCases:
        """Which of some cases the network was trained on, found by digests of their ids."""
        trained, watched = frozenset(self.record.seen.trained), frozenset(self.record.seen.watched)
        digests = [(name, digest_of(name)) for name in ids]
        return SeenCases(tuple(name for name, digest in digests if digest in trained),
                         tuple(name for name, digest in digests if digest in watched), (), len(ids))


def open_exported(folder: str | Path, registry: Registry) -> OpenedExport:
    """The exported networks in a folder.

    Raises: GraphError with `unreadable-export`, DataError with `bad-preprocessing` or `bad-record`, UserError with
    `unreadable-calibration` or `unreadable-threshold`.
    """
    folder = Path(folder)
    record = read_record(folder)
    parts = tuple(_opened_part(folder / name, read_record(folder / name), registry) for name in record.folds) or (
        _opened_part(folder, record, registry),)
    heads = parts[0].heads
    return OpenedExport(
        folder, record, parts,
        read_calibration(folder, {name: (head.declared_task, head.names) for name, head in heads.items()}),
        read_thresholds(folder, {name: (head.task, head.names) for name, head in heads.items()}), registry)


def _opened_part(folder: Path, record: Exported, registry: Registry) -> ExportedNetwork:
    heads = {head.name: NamedHead(head, registry) for head in record.heads}
    return ExportedNetwork(folder, record, heads, Preprocessing.read(folder / PREPROCESSING),
                           read_training_outcomes(folder, list(heads.values())))


def _result(head: NamedHead, record: ExportedHead, batches: Sequence[Sequence[Outputs]]) -> HeadResult:
    """One head's results: the mean of the values of the networks, and what its task makes of their details."""
    every = [[np.asarray(outputs[head.name], dtype=np.float64) for outputs in batch] for batch in batches]
    values = np.concatenate([np.mean(np.stack(batch), axis=0) for batch in every])
    valid = np.concatenate([batch[0][head.name + VALID] for batch in batches]) if record.valid else np.ones(
        len(values), dtype=np.bool_)
    none = np.zeros(len(values), dtype=np.bool_)
    return HeadResult(head, values, {}, valid, np.zeros(len(values)), none, details=_details(head, record, batches),
                      curves=joined_curves([_curves(record, batch) for batch in batches]) if record.curve_times
                      else None)


def _details(head: NamedHead, record: ExportedHead, batches: Sequence[Sequence[Outputs]]) -> dict[str, Any]:
    made: dict[str, list[Any]] = {}
    for batch in batches:
        told = [{key: np.asarray(outputs[f"{head.name}{DETAIL}{key}"], dtype=np.float64) for key in record.details}
                for outputs in batch]
        found = told[0] if len(told) == 1 else pooled(
            head.declared_task, told, [np.asarray(outputs[head.name], dtype=np.float64) for outputs in batch],
            head.names)
        for key, values in found.items():
            made.setdefault(key, []).append(values)
    return {key: np.concatenate(parts) for key, parts in made.items()}


def _curves(record: ExportedHead, batch: Sequence[Outputs]) -> SurvivalCurves | None:
    return mean_curves([SurvivalCurves(np.array(times), outputs[record.name + CURVE], record.curve_steps)
                        for times, outputs in zip(record.curve_times, batch, strict=True)])
