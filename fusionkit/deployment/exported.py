"""An exported folder, opened: cases in, each head's results out, without torch where the network is ONNX."""
# Axes: N cases, B batch, K columns of a head.

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from fusionkit.components.training_outcomes import SurvivalCurves, joined_curves, mean_curves
from fusionkit.data.description import DataDescription, describe
from fusionkit.data.loading import CaseDataset, Cohort, load_cohort
from fusionkit.data.preprocessing import Preprocessing
from fusionkit.deployment.batches import Array, batches_of
from fusionkit.deployment.networks import CURVE, DETAIL, VALID, OpenNetwork, opened_network
from fusionkit.deployment.record import Exported, ExportedHead, NamedHead, digest_of, read_record
from fusionkit.evaluation.calibration import Calibration, read_calibration
from fusionkit.evaluation.thresholds import Thresholds, read_thresholds
from fusionkit.inference.details import pooled
from fusionkit.inference.head_result import HeadResult
from fusionkit.progress import Progress
from fusionkit.registry.lookup import Registry
from fusionkit.runs.decisions import decided
from fusionkit.runs.results import calibrated
from fusionkit.runs.seen_cases import SeenCases
from fusionkit.runs.training_outcomes import read_training_outcomes, with_training_outcomes

DATA, PREPROCESSING = "data.yaml", "preprocessing.json"
Outputs = Mapping[str, Array]


@dataclass(frozen=True)
class ExportedNetwork:
    """An exported network with all that a prediction needs; `kept` is what its run keeps of its training cases."""

    folder: Path
    record: Exported
    heads: Mapping[str, NamedHead]
    preprocessing: Preprocessing
    calibration: Calibration | None
    thresholds: Thresholds | None
    kept: Mapping[str, Mapping[str, Any]]
    registry: Registry

    @cached_property
    def networks(self) -> list[OpenNetwork]:
        """The networks, read when they are first needed.

        Raises: GraphError with `missing-package` or `unreadable-export`.
        """
        return [opened_network(self.folder / name, self.record) for name in self.record.networks]

    def describe(self, data: str | Path, roots: Sequence[str | Path] = ()) -> DataDescription:
        """A data file. Raises: DataError."""
        return describe(data, roots=roots, registry=self.registry)

    def cohort(self, description: DataDescription, progress: Progress | None = None, *, workers: int | None = None
               ) -> Cohort:
        """Its cases, which need no targets; nothing is cached on disk.

        Raises: DataError with everything that is wrong.
        """
        return load_cohort(description, {name: head.target for name, head in self.heads.items()},
                           {item.name: item.need for item in self.record.inputs}, False, workers=workers,
                           progress=progress, preprocessing=self.preprocessing)

    def predicted(self, cases: CaseDataset, progress: Progress | None = None) -> dict[str, HeadResult]:
        """Each head's results for cases, calibrated and decided as the run would."""
        outputs, done = [], 0
        for batch in batches_of(cases, self.record.inputs, self.record.batch_size):
            outputs.append([network.run(batch) for network in self.networks])
            done += min(self.record.batch_size, len(cases) - done)
            if progress:
                progress(done, len(cases))
        rows = list(cases.rows)
        return {name: replace(result, targets=np.asarray(cases.targets[name].values[rows], dtype=np.float64),
                              known=np.asarray(cases.targets[name].present[rows]))
                for name, result in self.results(outputs).items()}

    def results(self, outputs: Iterable[Sequence[Outputs]]) -> dict[str, HeadResult]:
        """Each head's results from the outputs of all networks for each batch; targets are unknown."""
        batches = [list(each) for each in outputs]
        found = {head.name: _result(self.heads[head.name], head, batches) for head in self.record.heads}
        return decided(calibrated(with_training_outcomes(found, self.kept), self.calibration), self.thresholds)

    def seen(self, ids: Sequence[str]) -> SeenCases:
        """Which of some cases the network was trained on, found by digests of their ids."""
        trained, watched = frozenset(self.record.seen.trained), frozenset(self.record.seen.watched)
        digests = [(name, digest_of(name)) for name in ids]
        return SeenCases(tuple(name for name, digest in digests if digest in trained),
                         tuple(name for name, digest in digests if digest in watched), (), len(ids))


def open_exported(folder: str | Path, registry: Registry) -> ExportedNetwork:
    """The exported network in a folder.

    Raises: GraphError with `unreadable-export`, DataError with `bad-preprocessing` or `bad-record`, UserError with
    `unreadable-calibration` or `unreadable-threshold`.
    """
    folder = Path(folder)
    record = read_record(folder)
    heads = {head.name: NamedHead(head, registry) for head in record.heads}
    return ExportedNetwork(
        folder, record, heads, Preprocessing.read(folder / PREPROCESSING),
        read_calibration(folder, {name: (head.declared_task, head.names) for name, head in heads.items()}),
        read_thresholds(folder, {name: (head.task, head.names) for name, head in heads.items()}),
        read_training_outcomes(folder, list(heads.values())), registry)


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
