"""The files of a run's folder as plain data, for its report."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from fusionkit.errors import DataError, Diagnostic, UserError
from fusionkit.files import plain_json, read_text, sha256_of
from fusionkit.records.run_folders import COMPARED as COMPARED
from fusionkit.records.run_folders import GRAPH as GRAPH
from fusionkit.records.run_folders import HISTORY, IDENTITY, LOCK, METRICS
from fusionkit.runs.cases_record import CASES
from fusionkit.runs.cohort_record import COHORT
from fusionkit.runs.folder import DATA, PREPROCESSING, RUN
from fusionkit.syntax.reader import read_file
from fusionkit.syntax.tree import to_plain

PREDICTIONS = "predictions.csv"
CALIBRATION, MISSING, SUBGROUPS, THRESHOLD = "calibration.json", "missing.csv", "subgroups.csv", "threshold.json"
SITES = "sites.csv"
GROUPS, EXPLAIN = "groups.json", "explain/explain.json"
NOT_RECORDED = "not recorded"
_HASHED = (".json", ".yaml", ".csv", ".safetensors", ".npz")


@dataclass(frozen=True)
class RunFiles:
    """What the files of a run say; an empty mapping stands for a file that is not there.

    `folder` is that of the run, `own` that of its network: of a run of folds the first of them. `trainings` are the
    folders of all its trainings.
    """

    folder: Path
    own: Path
    trainings: tuple[Path, ...]
    graph: Mapping[str, Any]
    data: Mapping[str, Any]
    about: Mapping[str, Any]
    cases: Mapping[str, Any]
    cohort: Mapping[str, Any]
    metrics: Mapping[str, Any]
    preprocessing: Mapping[str, Any]
    lock: Mapping[str, Any]
    calibration: Mapping[str, Any]
    threshold: Mapping[str, Any]
    groups: Mapping[str, Any]
    explained: Mapping[str, Any]
    histories: Mapping[str, Sequence[Mapping[str, str]]] = field(default_factory=dict)

    @property
    def name(self) -> str:
        """The name of the network."""
        return str(self.graph.get("name", self.folder.resolve().name))

    @property
    def heads(self) -> Mapping[str, Any]:
        """The results of each head in `metrics.json`, empty before an evaluation."""
        found = self.metrics.get("heads")
        return found if isinstance(found, dict) else {}

    @property
    def parts(self) -> Mapping[str, Any]:
        """The counts of each part, `all` among them; empty where the run did not record them."""
        found = self.cohort.get("parts")
        return found if isinstance(found, dict) else {}

    @property
    def training(self) -> Mapping[str, Any]:
        """The settings of training."""
        found = self.graph.get("training")
        return found if isinstance(found, dict) else {}

    def rows(self, name: str) -> list[list[str]]:
        """The rows of a CSV file of the folder, its header first; empty if it is not there."""
        try:
            return [row for row in csv.reader(io.StringIO(read_text(self.folder / name))) if row]
        except (OSError, ValueError, csv.Error):
            return []

    def pictures(self) -> list[Path]:
        """Every SVG of the run's evaluation, in the order of names."""
        return sorted(self.folder.glob("*.svg"))

    def hashes(self) -> Iterator[tuple[str, int, str]]:
        """Name, size in bytes and SHA-256 of the files that make the run."""
        folders = dict.fromkeys((self.folder, *self.trainings))
        for path in sorted(path for folder in folders for path in folder.glob("*") if path.suffix in _HASHED):
            found = sha256_of(path)
            if found is not None:
                yield path.relative_to(self.folder).as_posix(), path.stat().st_size, found


def named(head: Mapping[str, Any], metric: str) -> str:
    """What a metric is called for readers; its id in files that were written before they held names."""
    return str(head.get("labels", {}).get(metric, metric))


def is_comparison(folder: Path) -> bool:
    """Whether the folder is that of a comparison, finished or not."""
    return (folder / IDENTITY).is_file()


def read_run(folder: Path) -> RunFiles:
    """The files of a finished run, or of a finished run of folds.

    Raises: DataError with `nothing-to-report`.
    """
    folds = sorted((path for path in folder.glob("fold-*") if path.is_dir()), key=lambda path: (len(path.name), path))
    trainings = tuple(folds) or (folder,)
    _check(folder, trainings)
    own = trainings[0]
    return RunFiles(
        folder, own, trainings, _yaml(own / GRAPH), _yaml(own / DATA), _json(own / RUN), _json(folder / CASES),
        _json(folder / COHORT), _json(folder / METRICS), _json(own / PREPROCESSING), _json(own / LOCK),
        _json(folder / CALIBRATION) or _json(own / CALIBRATION), _json(folder / THRESHOLD) or _json(own / THRESHOLD),
        _json(folder / GROUPS) or _json(own / GROUPS), _json(folder / EXPLAIN),
        {"" if path == folder else path.name: _history(path) for path in trainings})


def _check(folder: Path, trainings: Sequence[Path]) -> None:
    if not folder.is_dir():
        raise _refused(folder, "there is no such folder")
    unfinished = [path for path in trainings if not (path / RUN).is_file()]
    begun = [path for path in unfinished if (path / CASES).is_file()]
    if not unfinished:
        stage = _json(trainings[0] / RUN).get("stage")
        if stage:
            raise _refused(folder, f"it holds the stage {stage!r}, which has no targets and predicts nothing")
        return
    if begun or (folder / CASES).is_file():
        raise _refused(folder, f"the training in {str((begun or unfinished)[0])!r} has not finished",
                       "finish it: fusionkit train ... --resume")
    raise _refused(folder, f"it has neither {RUN}, which ends a training, nor {IDENTITY}")


def _refused(folder: Path, why: str, fix: str = "give the folder that `fusionkit train` or `fusionkit compare` wrote"
             ) -> DataError:
    return DataError(Diagnostic("nothing-to-report", f"{str(folder)!r} is neither a finished run nor a comparison",
                                why=why, fix=fix))


def _json(path: Path) -> Mapping[str, Any]:
    return plain_json(path) or {}


def _yaml(path: Path) -> Mapping[str, Any]:
    try:
        found = to_plain(read_file(path))
    except UserError:
        return {}
    return found if isinstance(found, dict) else {}


def _history(folder: Path) -> list[dict[str, str]]:
    try:
        return list(csv.DictReader(io.StringIO(read_text(folder / HISTORY))))
    except (OSError, ValueError, csv.Error):
        return []
