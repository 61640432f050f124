"""Checks that settings, data, network and folder of a training fit together, before its first step."""

from __future__ import annotations

from collections.abc import Sized
from pathlib import Path
from typing import cast

from torch.utils.data import Dataset

from fusionkit.data.batch import Case
from fusionkit.errors import Diagnostic, UserError
from fusionkit.network.model import FusionModel
from fusionkit.training.applied_method import faults
from fusionkit.training.checkpoint import LAST, has_state
from fusionkit.training.settings import TrainingSettings
from fusionkit.training.validation import has_monitored


def check_run(train: Dataset[Case], validation: Dataset[Case] | None, settings: TrainingSettings, *, folder: Path,
              resume: bool, model: FusionModel) -> None:
    """Raises: UserError if settings, data and network do not fit together, or the folder contains another run."""
    found = []
    if len(cast(Sized, train)) == 0:
        found.append(Diagnostic("no-cases", "there are no training cases", fix="check 'split' in the data file"))
    if validation is not None and len(cast(Sized, validation)) == 0:
        found.append(Diagnostic("no-cases", "there are no validation cases", fix="check 'split' in the data file"))
    if settings.patience not in (0, "auto") and validation is None:
        found.append(Diagnostic("no-validation", "'patience' needs a validation set, and the data file has none",
                                fix="add validation cases to 'split', set 'hold_out', or remove 'patience'"))
    if not has_monitored(model.plan.heads, settings):
        what = "an accuracy" if settings.metric is None else f"the metric {settings.metric.key}"
        found.append(Diagnostic("no-accuracy", f"no head of this network has {what}, which 'monitor: "
                                f"{settings.monitor}' needs", fix="set 'monitor: loss'"))
    found += faults(model.plan, settings)
    if not resume and has_state(folder / LAST):
        found.append(Diagnostic("run-exists", f"{str(folder)!r} already holds a run",
                                fix="continue it with --resume, or choose another folder"))
    if found:
        raise UserError(found)
