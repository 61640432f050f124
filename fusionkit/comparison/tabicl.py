"""TabICL as a baseline of a comparison: a pretrained model that reads the training cases and predicts in one pass.

Source: Qu, Holzmueller, Varoquaux, Le Morvan 2025, TabICL: A Tabular Foundation Model for In-Context Learning on Large
Data, arXiv 2502.05564. The package is used as it is; nothing is downloaded.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from fusionkit.comparison.baselines import fit_baselines, missing_reason, tables_of, width_of
from fusionkit.comparison.outcomes import RepeatOutputs
from fusionkit.comparison.train import Unit
from fusionkit.data.loading import Cohort
from fusionkit.errors import Diagnostic, UserError
from fusionkit.files import check_regular, sha256_of
from fusionkit.planning.plan import PlannedHead
from fusionkit.training.settings import TrainingSettings

NAME = "TabICL"
MEMORY = 4096
"""How many MB it may take where nothing is said."""
_ESTIMATORS = 8
_BYTES = 16_000
"""For each row and column of a table; see docs/comparing.md for what was measured."""
_EXTRA_COLUMNS = 4


@dataclass(frozen=True)
class TabIclWeights:
    """A checkpoint of TabICL; `classes` is how many it knows by itself, 0 where it predicts numbers."""

    path: Path
    sha256: str
    classes: int

    def as_json(self) -> dict[str, Any]:
        """What a report says of it."""
        return {"file": str(self.path), "sha256": self.sha256}


def read_weights(path: str | Path) -> TabIclWeights:
    """What can be told of a checkpoint before anything is trained; it is read without running anything in it.

    Raises: UserError with `bad-argument` if the extra is not installed, or the file is no checkpoint of TabICL.
    """
    place = Path(path)
    if find_spec("tabicl") is None:
        raise UserError(Diagnostic("bad-argument", "--tabicl needs the package tabicl, which is not installed",
                                   fix='pip install "fusionkit[tabicl]"'))
    try:
        check_regular(place)
        config = _config(place)
    except (OSError, ValueError) as problem:
        raise UserError(Diagnostic(
            "bad-argument", f"--tabicl {str(path)!r} is not a checkpoint of TabICL", why=str(problem),
            fix="download one that the package names, such as tabicl-classifier-v2-20260212.ckpt, and give its path; "
                "nothing is downloaded here")) from None
    return TabIclWeights(place, sha256_of(place) or "", int(config.get("max_classes", 10)))


def _config(path: Path) -> dict[str, Any]:
    import torch

    try:
        found = torch.load(path, map_location="cpu", weights_only=True, mmap=True)
    except OSError:
        raise
    except Exception as problem:  # torch raises whatever its unpickler does
        raise ValueError(str(problem).partition("\n")[0]) from None
    if not isinstance(found, dict) or not isinstance(found.get("config"), dict) or "state_dict" not in found:
        raise ValueError("it has no 'config' and 'state_dict'")
    config: dict[str, Any] = found["config"]
    return config


def heads_of(weights: TabIclWeights, heads: Sequence[PlannedHead]) -> tuple[list[PlannedHead], list[tuple[str, str]]]:
    """The heads that it predicts, and the others by name with the reason."""
    kept, left = [], []
    for head in heads:
        cells, count = head.declared_task.cells, len(head.names)
        if (weights.classes == 0) == (cells in ("class", "label")):
            what = "numbers" if weights.classes == 0 else "classes"
            left.append((NAME, f"the weights predict {what}, and {head.name!r} is a head of {head.task}"))
        elif cells == "class" and count > weights.classes:
            left.append((NAME, f"{head.name!r} has {count} classes, and the weights know {weights.classes}"))
        else:
            kept.append(head)
    return kept, left


def check_memory(cohort: Cohort, units: Sequence[Unit], memory: int) -> None:
    """Refuse tables for which TabICL would take more than `memory` MB.

    Raises: UserError with `bad-argument`.
    """
    rows = max(len(unit.train) + len(unit.test) for unit in units)
    columns = width_of(cohort, units[0].train)
    needed = rows * (columns + _EXTRA_COLUMNS) * _BYTES / 2**20
    if needed > memory:
        raise UserError(Diagnostic(
            "bad-argument", f"TabICL would take about {needed:,.0f} MB, and --memory is {memory:,}",
            why=f"it reads {rows:,} cases of {columns:,} columns at once",
            fix=f"give --memory {int(needed) + 1} if this machine has it, or name fewer columns in the data file"))


def fit_tabicl(
    weights: TabIclWeights | None, cohorts: Sequence[Cohort], units: Sequence[Unit], heads: Sequence[PlannedHead],
    settings: TrainingSettings,
) -> tuple[dict[str, tuple[RepeatOutputs, ...]], list[tuple[str, str]]]:
    """Its results in the form of a trained candidate, or why there are none; nothing without weights."""
    if weights is None:
        return {}, []
    why = missing_reason(tables_of(cohorts[0]), heads)
    if why:
        return {}, [(NAME, why)]
    kept, left = heads_of(weights, heads)
    if not kept:
        return {}, left
    device = None if settings.device == "auto" else settings.device
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of the package's own dependencies
        return fit_baselines(cohorts, units, kept, settings.seed, names=(NAME,),
                             model=partial(_model, weights, device=device)), left


def _model(weights: TabIclWeights, name: str, task: str, cases: int, seed: int, *, device: str | None) -> Any:
    """An ensemble of eight permutations, one after the other, which bounds the memory."""
    import tabicl

    kind = tabicl.TabICLRegressor if task == "regression" else tabicl.TabICLClassifier
    return kind(n_estimators=_ESTIMATORS, batch_size=1, random_state=seed, model_path=str(weights.path),
                allow_auto_download=False, device=device)
