"""The state of a run on disk, complete at every moment: tensors as safetensors, the rest as JSON, nothing pickled."""

from __future__ import annotations

import hashlib
import json
import os
import zlib
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch
from pydantic import TypeAdapter, ValidationError
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor
from torch.optim import Optimizer

from fusionkit.errors import Diagnostic, UserError
from fusionkit.files import check_regular, inside, read_json, remove_abandoned, replacing
from fusionkit.network.model import FusionModel
from fusionkit.training.distributed import assign, whole
from fusionkit.training.optimiser_state import put_back_state, state_tensors

LAST, BEST, STATE = "last", "best", "state.json"
FORMAT = 2
_MODEL, _OPTIMISER, _METHOD = "model/", "optimiser/", "method/"


@dataclass
class TrainingState:
    """The progress of a run: `epoch` finished epochs, and `step` finished steps of the next one.

    `sums` and `seconds` belong to the current epoch. `stale` counts the epochs since the best. `frozen` is the digest
    of the frozen weights, which are not part of a state. `method` are the numbers that the training method remembers.
    """

    settings: dict[str, Any]
    cases: int
    epoch: int = 0
    step: int = 0
    seconds: float = 0.0
    sums: dict[str, float] = field(default_factory=dict)
    history: list[dict[str, Any]] = field(default_factory=list)
    best_epoch: int = 0
    best_value: float | None = None
    stale: int = 0
    stopped: str = ""
    scaler: dict[str, Any] = field(default_factory=dict)
    method: dict[str, int | float] = field(default_factory=dict)

    def add(self, more: Mapping[str, float]) -> None:
        """Add to the sums of the current epoch."""
        self.sums = {**self.sums, **{name: self.sums.get(name, 0.0) + value for name, value in more.items()}}
    frozen: str = ""


def frozen_of(network: FusionModel) -> dict[str, Tensor]:
    """The tensors of frozen nodes by name, unsharded and on the CPU; copied only if necessary.

    With weights that are sharded among processes every process must call it.
    """
    return {name: whole(value.detach()).cpu().contiguous() for name, value in network.state_dict().items()
            if _is_frozen(network, name)}


def _is_frozen(network: FusionModel, name: str) -> bool:
    return network.plan.node(name.partition(".")[0]).node.freeze


def digest(tensors: Mapping[str, Tensor]) -> str:
    """A checksum of names and values; it detects differences, but is no protection against forgery."""
    found = hashlib.sha256()
    for name, value in sorted(tensors.items()):
        check = zlib.crc32(value.contiguous().view(-1).view(torch.uint8).numpy().data) if value.numel() else 0
        found.update(f"{name} {value.dtype} {tuple(value.shape)} {check}".encode())
    return found.hexdigest()


def tensors_of(network: FusionModel, optimiser: Optimizer, method: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The trainable weights, the optimiser's state and the training method's by name, unsharded and on the CPU.

    With weights that are sharded among processes every process must call it.
    """
    tensors = {_MODEL + name: _copy(value) for name, value in network.state_dict().items()
               if not _is_frozen(network, name)}
    state = {_OPTIMISER + name: value for name, value in state_tensors(network.named_parameters(), optimiser).items()}
    return tensors | state | {_METHOD + name: _copy(value) for name, value in method.items()}


def _copy(value: Tensor) -> Tensor:
    return whole(value.detach()).cpu().clone(memory_format=torch.contiguous_format)


def save_state(folder: Path, state: TrainingState, tensors: Mapping[str, Tensor]) -> None:
    """Write a state. Until `state.json` is replaced, the state before is valid; afterwards the new one is."""
    folder.mkdir(parents=True, exist_ok=True)
    before = _names(folder)
    name = f"tensors-{1 + max((int(n.stem.rpartition('-')[2]) for n in before), default=0):06d}.safetensors"
    with replacing(folder / name) as aside:
        save_file(dict(tensors), aside)
        _flush(aside)
    text = json.dumps({"format": FORMAT, "tensors": name, **asdict(state)}, indent=1)
    with replacing(folder / STATE) as aside:
        aside.write_text(text, encoding="utf-8")
        _flush(aside)
    for old in before:
        old.unlink(missing_ok=True)
    remove_abandoned(folder)


def _names(folder: Path) -> list[Path]:
    return [path for path in folder.glob("tensors-*.safetensors") if path.stem.rpartition("-")[2].isdecimal()]


def _flush(path: Path) -> None:
    """Wait until a file is on the disk: a machine may lose its power, as a process may be killed."""
    with path.open("rb") as stream:
        os.fsync(stream.fileno())


def has_state(folder: Path) -> bool:
    """Whether the folder contains a state."""
    return (folder / STATE).exists()  # whatever lies there: reading it says that it is no file


def read_state(folder: Path) -> tuple[TrainingState, dict[str, Tensor]]:
    """The state that `save_state` wrote.

    Raises: UserError with `unreadable-state`.
    """
    return _read(folder, load_file)


def read_progress(folder: Path) -> TrainingState:
    """The same without the tensors, which are not read.

    Raises: UserError with `unreadable-state`.
    """
    return _read(folder, lambda path: {})[0]


def _read(folder: Path, load: Callable[[Path], dict[str, Tensor]]) -> tuple[TrainingState, dict[str, Tensor]]:
    try:
        data = read_json(folder / STATE)
        if data.pop("format") != FORMAT:
            raise ValueError("it was written by another version of fusionkit")
        path = inside(folder, data.pop("tensors"))
        if path is None:
            raise ValueError("it names a file outside its folder")
        if unknown := sorted(data.keys() - TrainingState.__dataclass_fields__.keys()):
            raise ValueError(f"it has {', '.join(unknown)}, which no state has")
        # As JSON, since a dataclass is not made of a dict where types are strict.
        state = TypeAdapter(TrainingState).validate_json(json.dumps(data), strict=True)
        _check(state)
        check_regular(path)
        return state, load(path)
    except (OSError, ValueError, KeyError, TypeError, AttributeError, SafetensorError) as error:
        raise UserError(Diagnostic("unreadable-state", f"cannot read the state in {str(folder)!r}", why=_reason(error),
                                   fix="train again without --resume, in another folder")) from None


def check_step(state: TrainingState, steps: int, folder: Path) -> None:
    """Raises: UserError with `unreadable-state` where a state is farther in its epoch than that is long."""
    if state.step > steps:
        raise UserError(Diagnostic("unreadable-state", f"cannot read the state in {str(folder)!r}",
                                   why=f"it has done {state.step} of {steps} steps of an epoch",
                                   fix="train again without --resume, in another folder"))


def _check(state: TrainingState) -> None:
    """Raises: ValueError where the parts of a state do not go together."""
    if min(state.epoch, state.step, state.cases, state.stale, state.best_epoch) < 0 or state.seconds < 0:
        raise ValueError("it counts below zero")
    if len(state.history) != state.epoch or not 0 <= state.best_epoch <= state.epoch:
        raise ValueError(f"it has {state.epoch} epochs, a history of {len(state.history)} and its best at "
                         f"{state.best_epoch}")
    if any(not isinstance(row.get(name), int | float) for row in state.history for name in ("train_loss", "seconds")):
        raise ValueError("its history lacks a loss or a time")


def _reason(error: Exception) -> str:
    if isinstance(error, ValidationError):
        first = error.errors(include_url=False)[0]
        return f"{'.'.join(map(str, first['loc'])) or 'the top'}: {first['msg']}"
    return str(error)


def put_back(network: FusionModel, optimiser: Optimizer | None, tensors: Mapping[str, Tensor]) -> None:
    """Set the trainable weights and the optimiser's state from the tensors of a state.

    Raises: UserError with `wrong-state` if they belong to another network.
    """
    own = {name: value for name, value in network.state_dict().items() if not _is_frozen(network, name)}
    weights = weights_of(tensors)
    if {name: value.shape for name, value in own.items()} != {name: value.shape for name, value in weights.items()}:
        differing = sorted(name for name in own.keys() | weights.keys()
                           if name not in own or name not in weights or own[name].shape != weights[name].shape)
        raise UserError(Diagnostic("wrong-state", "the saved state belongs to another network",
                                   why="different: " + ", ".join(differing[:4]),
                                   fix="resume with the graph that the run was started with"))
    for name, value in own.items():
        assign(value, weights[name])
    if optimiser is not None:
        state = {name.removeprefix(_OPTIMISER): value for name, value in tensors.items()
                 if name.startswith(_OPTIMISER)}
        put_back_state(dict(network.named_parameters()), optimiser, state)


def weights_of(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Only the trainable weights, by their names in the network."""
    return _named(_MODEL, tensors)


def method_of(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Only the tensors that the training method remembers."""
    return _named(_METHOD, tensors)


def _named(prefix: str, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {name.removeprefix(prefix): value for name, value in tensors.items() if name.startswith(prefix)}
