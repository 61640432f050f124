"""The result of a training, its history in `history.csv`, and the weights file."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from safetensors.torch import save_file
from torch import Tensor

from fusionkit.errors import Diagnostic, UserError
from fusionkit.files import read_text, replacing, write_text
from fusionkit.network.folder import WEIGHTS
from fusionkit.network.model import FusionModel
from fusionkit.progress import Progress
from fusionkit.training.applied_method import METHOD
from fusionkit.training.checkpoint import TrainingState, weights_of
from fusionkit.training.former_settings import up_to_date
from fusionkit.training.settings import RESUMABLE, TrainingSettings
from fusionkit.training.step import Totals
from fusionkit.training.validation import Scores

HISTORY = "history.csv"


class StepProgress(Protocol):
    """Called after every step of training, in the main process: a progress bar, for instance.

    `epoch` counts from 1 and `step` from 1 to `steps`; `loss` is that of the step over all processes.
    """

    def __call__(self, epoch: int, step: int, steps: int, loss: float) -> None:
        """Show the step."""


def over_epochs(update: Progress, epochs: int) -> StepProgress:
    """Progress of the training on a bar that counts the steps of all epochs."""
    def advance(epoch: int, step: int, steps: int, loss: float) -> None:
        update((epoch - 1) * steps + step, epochs * steps)

    return advance


@dataclass(frozen=True)
class FitResult:
    """A finished training. `monitor` is None without a validation set; only the `main` process should write files.

    `lower_is_better` is the direction of what is monitored. `settled` are the heads that fitted buffers afterwards.

    `model` is the network that was passed in, except with fsdp, where it is a new one: the original stays sharded.
    """

    model: FusionModel
    state: TrainingState
    monitor: str | None
    main: bool
    lower_is_better: bool = True
    settled: tuple[str, ...] = ()

    @property
    def epochs(self) -> int:
        """How many epochs were run in total."""
        return self.state.epoch

    @property
    def best_epoch(self) -> int:
        """The epoch, counted from 1, whose weights the model has."""
        return self.state.best_epoch

    @property
    def best_value(self) -> float | None:
        """The monitored value of that epoch."""
        if self.monitor is None or self.state.best_value is None:
            return None
        return -self.state.best_value if self.lower_is_better else self.state.best_value

    @property
    def history(self) -> list[dict[str, Any]]:
        """One row for each epoch, as in `history.csv`."""
        return self.state.history

    @property
    def seconds(self) -> float:
        """The time that all epochs took."""
        return float(sum(row["seconds"] for row in self.history))


def epoch_row(state: TrainingState, loss: float, totals: Totals, *, rate: float, scores: Scores | None,
              training_seconds: float) -> dict[str, Any]:
    """The row of the epoch that ends; `state` still has its sums and seconds."""
    row: dict[str, Any] = {"epoch": state.epoch + 1, "train_loss": loss}
    for name, value in state.sums.items():
        if name.startswith(METHOD):
            row[f"method_{name.removeprefix(METHOD)}"] = value / state.sums[f"#{name}"]
        elif not name.startswith("#"):
            count = totals.rows.get(name, totals.cases)
            row[f"train_loss_{name}"] = value / count if count else float("nan")
    row |= scores.row() if scores else {}
    return row | {"learning_rate": rate, "seconds": state.seconds,
                  "cases_per_second": totals.cases / max(training_seconds, 1e-9)}


def write_history(folder: Path, rows: Sequence[Mapping[str, Any]]) -> None:
    """Write `history.csv` with one row for each finished epoch, atomically."""
    text = io.StringIO()
    # Only some epochs have columns of a validation, which stand where they are in these.
    names = list(dict.fromkeys(name for row in sorted(rows, key=len, reverse=True) for name in row))
    writer = csv.DictWriter(text, names, lineterminator="\n")
    writer.writeheader()
    writer.writerows({name: _cell(value) for name, value in row.items()} for row in rows)
    write_text(folder / HISTORY, text.getvalue())


def read_history(path: Path) -> list[dict[str, float]]:
    """The rows of a `history.csv`, one for each epoch; empty if it is missing or was changed into something else."""
    try:
        rows = list(csv.DictReader(io.StringIO(read_text(path))))
        return [{name: float(cell) for name, cell in row.items() if cell} for row in rows]
    except (OSError, ValueError, TypeError, csv.Error):
        return []


def _cell(value: Any) -> Any:
    return f"{value:.8g}" if isinstance(value, float) else value


FOLD = "fold"
"""Which cases are trained on, and not how: a fold may be trained by itself and then be one of all."""


def setting_differences(before: Mapping[str, Any], now: Mapping[str, Any]) -> list[str]:
    """Fixed settings of a run that were changed, as text."""
    # A state from an earlier release lacks newer settings, which had their defaults.
    defaults = {name: field.default for name, field in TrainingSettings.model_fields.items()}
    before = up_to_date(before)
    return [f"'{name}' was {was} and is {value}" for name, value in now.items()
            if name not in (*RESUMABLE, FOLD) and (was := before.get(name, defaults.get(name))) != value]


def check_resumable(before: TrainingState, now: TrainingState, folder: Path) -> None:
    """Check that a run may be resumed with the present settings, cases and weights.

    Raises: UserError with `resume-differs`, every difference.
    """
    differences = setting_differences(before.settings, now.settings)
    if before.frozen != now.frozen:
        differences.append("the frozen nodes have other weights than at the start")
    if before.cases != now.cases:
        differences.append(f"there were {before.cases} training cases and are {now.cases}")
    if differences:
        raise UserError([Diagnostic("resume-differs", f"the run in {str(folder)!r} cannot be resumed: {difference}",
                                    fix="resume with the original inputs, or train in another folder")
                         for difference in differences])


def publish(tensors: Mapping[str, Tensor], frozen: Mapping[str, Tensor], path: Path) -> None:
    """Write the weights of a state and the frozen ones to the weights file of a run.

    The file is written atomically.
    """
    # A copy, since shared tensors may not overlap in the file.
    with replacing(path) as aside:
        save_file({**{name: value.clone() for name, value in frozen.items()}, **weights_of(tensors)}, aside)


def loaded(network: FusionModel, folder: Path, published: bool, sharded: bool) -> FusionModel:
    """The network with the weights in the weights file."""
    from fusionkit.network.weights import load_into, read_tensors

    if sharded:
        network = FusionModel(network.plan, weights_follow=True)
    elif not published:
        return network
    load_into(network, read_tensors(folder / WEIGHTS), "the network of this run")
    return network
