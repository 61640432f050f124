"""A run as what answers requests."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from os import PathLike
from typing import Any

from fusionkit.data.dataset import CaseDataset
from fusionkit.data.signature import HeadTarget, InputNeed
from fusionkit.errors import DataError, Diagnostic, GraphError
from fusionkit.inference.head_result import HeadResult
from fusionkit.inference.predict import predict
from fusionkit.inference.sampler import Sampler
from fusionkit.interface.opened_run import open_networks
from fusionkit.interface.run_keywords import RunKeywords
from fusionkit.network.model import FusionModel
from fusionkit.runs.decisions import decided
from fusionkit.runs.folder import DATA, needs_of
from fusionkit.runs.results import calibrated
from fusionkit.runs.training_outcomes import with_training_outcomes
from fusionkit.syntax.reader import read_file
from fusionkit.syntax.tree import to_plain


class RunEngine:
    """The networks of a run, with its uncertainty method. Samples depend on the batch: these cases are run alone.

    Raises: GraphError with `several-folds`, and what opening a run raises.
    """

    def __init__(self, folder: str | PathLike[str], options: RunKeywords, samples: int | None) -> None:
        opened = open_networks(folder, options, samples=samples)
        if len(opened.parts) > 1:
            raise GraphError(Diagnostic("several-folds", f"{str(folder)!r} holds {len(opened.parts)} folds",
                                        why="each has statistics of its own training cases", fix="serve one: --fold 0"))
        self._opened = opened.first
        run, method = opened.first.run, opened.first.method
        self.name = run.model.plan.name
        self.uncertainty: str | None = method.step.use if method else None
        self.data: Mapping[str, Any] = to_plain(read_file(run.folder / DATA, DataError))
        heads, inputs = needs_of(run.model.plan)
        self.heads: Mapping[str, HeadTarget] = heads
        self.inputs: Mapping[str, InputNeed] = inputs
        self.preprocessing, self.registry = run.preprocessing, opened.first.registry
        self._settings = opened.first.settings()
        drawn = method is not None and self.uncertainty != "uncertainty.none"
        self.at_once = 1 if drawn or self._settings.views else self._settings.batch_size
        self._samplers: dict[FusionModel, Sampler] = {}

    def prepared(self, cases: CaseDataset) -> Any:
        """The first case as tensors; where its voxels are matters to views alone, and not all cases tell it."""
        case = cases[0]
        if not self._settings.views:
            case.pop("grids", None)
        return case

    def results(self, cases: Sequence[Any]) -> dict[str, HeadResult]:
        """Each head's results, calibrated and decided as `predict` does."""
        opened = self._opened
        found = predict(opened.models, cases, opened.method, self._settings, kept=self._samplers)  # type: ignore[arg-type]
        return decided(calibrated(with_training_outcomes(found, opened.run.kept), opened.calibration),
                       opened.thresholds)
