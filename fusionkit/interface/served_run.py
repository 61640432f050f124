"""A run as what answers requests."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from os import PathLike
from typing import Any

from fusionkit.data.loading import Cohort
from fusionkit.data.signature import HeadTarget, InputNeed
from fusionkit.errors import DataError
from fusionkit.inference.head_result import HeadResult
from fusionkit.inference.predict import predict
from fusionkit.inference.sampler import Sampler
from fusionkit.interface.opened_run import open_networks
from fusionkit.interface.run_keywords import RunKeywords
from fusionkit.network.model import FusionModel
from fusionkit.runs.folder import DATA, needs_of
from fusionkit.runs.training_outcomes import with_training_outcomes
from fusionkit.syntax.reader import read_file
from fusionkit.syntax.tree import to_plain


class RunEngine:
    """The networks of a run, or of all its folds, with its uncertainty method.

    Samples depend on the batch: these cases are run alone.
    Raises: what opening a run raises.
    """

    def __init__(self, folder: str | PathLike[str], options: RunKeywords, samples: int | None) -> None:
        self._opened = opened = open_networks(folder, options, samples=samples)
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

    def prepared(self, cohort: Cohort) -> list[Any]:
        """The first case as tensors, of every fold; where its voxels are matters to views alone, and not all cases tell
        it.
        """
        made: list[Any] = [cohort.dataset((0,), part.run.preprocessing)[0] for part in self._opened.parts]
        for case in made if not self._settings.views else ():
            case.pop("grids", None)
        return made

    def results(self, cases: Sequence[list[Any]]) -> dict[str, HeadResult]:
        """Each head's results, calibrated and decided as `predict` does."""
        found = []
        for part, own in zip(self._opened.parts, zip(*cases, strict=True), strict=True):
            said = predict(part.models, own, part.method, self._settings, kept=self._samplers)  # type: ignore[arg-type]
            found.append(with_training_outcomes(said, part.run.kept))
        return self._opened.together(found)
