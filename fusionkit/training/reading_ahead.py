"""How many processes read, and change, the training cases ahead: `workers: auto`."""

from __future__ import annotations

import math
import os
import shutil
from collections.abc import Sized
from dataclasses import dataclass
from pathlib import Path
from typing import cast

from torch.utils.data import Dataset

from fusionkit.data.batch import Case
from fusionkit.data.dataset import CaseDataset, FileInput
from fusionkit.data.processors import usable_processors
from fusionkit.errors import Diagnostic
from fusionkit.training.distributed import wants_cpu
from fusionkit.training.settings import TrainingSettings

_MOST, _FEW_PROCESSORS = 8, 4
_AHEAD = 2  # batches that each process prepares
_OF_MEMORY, _OF_SHARED = 0.25, 0.5
_BYTES = 4
_SHARED = Path("/dev/shm")  # noqa: S108  # where PyTorch passes tensors between processes


@dataclass(frozen=True, slots=True)
class ReadingAhead:
    """The number of processes, and a warning if it is smaller for want of memory."""

    workers: int
    warning: Diagnostic | None = None


def changes_on_device(settings: TrainingSettings) -> bool:
    """Whether training cases are changed in whole batches on the device, and not where they are read."""
    return settings.augment_on == "device" or (settings.augment_on == "auto" and not wants_cpu(settings))


def reading_ahead(settings: TrainingSettings, dataset: Dataset[Case], *, training: bool = True) -> ReadingAhead:
    """The processes that read a dataset; those of training may change its cases too.

    `auto` is none where there is nothing to read or to change: all inputs are columns, or all files fit into memory and
    nothing is changed; and none on a CPU of fewer than four processors, which the network needs itself. Else it is one
    for each processor but one, eight at most. They prepare two batches each, which must fit into a quarter of the free
    memory and half of the free shared memory.
    """
    if settings.workers != "auto":
        return ReadingAhead(settings.workers)
    # Of the processes of a launch on this machine each has a part of it.
    processors = usable_processors() // int(os.environ.get("LOCAL_WORLD_SIZE", "1"))
    if not isinstance(dataset, CaseDataset) or (wants_cpu(settings) and processors < _FEW_PROCESSORS):
        return ReadingAhead(0)
    sizes = {name: _case_bytes(source) for name, source in dataset.inputs.items() if isinstance(source, FileInput)}
    changed = training and dataset.augmentation is not None and not changes_on_device(settings)
    count = len(cast(Sized, dataset))
    if not sizes or (not changed and sum(sizes.values()) * count <= dataset.memory.most):
        return ReadingAhead(0)
    wanted = min(_MOST, max(1, processors - 1), math.ceil(count / settings.batch_size))
    batch = sum(sizes.values()) * min(settings.batch_size, count)
    limits = [(room * share, what) for room, share, what in (
        (free_memory(), _OF_MEMORY, "memory"), (_free_shared(), _OF_SHARED, f"shared memory ({_SHARED})"))
        if room is not None]
    limit, what = min(limits, default=(math.inf, ""))
    fitting = wanted if wanted * _AHEAD * batch <= limit else int(limit // (_AHEAD * batch))
    if fitting == wanted:
        return ReadingAhead(wanted)
    return ReadingAhead(fitting, Diagnostic(
        "shared-memory", f"{fitting} processes read ahead, not {wanted}: the {what} has no room for more", None,
        f"a batch takes {batch / 1e6:.0f} MB, each process prepares {_AHEAD}, and {limit / 1e6:.0f} MB may be used",
        "let the container have more (docker run --shm-size=8g), or use smaller sizes or batches", "warning"))


def _case_bytes(source: FileInput) -> int:
    longest = source.size[0] if source.masked is None else max(source.masked.counts.values(), default=0)
    return _BYTES * math.prod((longest, *source.size[1:]))


def free_memory() -> int | None:
    """The bytes of memory that programs may still take, None where the system does not tell."""
    try:
        lines = Path("/proc/meminfo").read_text(encoding="ascii").splitlines()
        return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("MemAvailable:"))
    except (OSError, ValueError, StopIteration):
        return None


def _free_shared() -> int | None:
    try:
        return shutil.disk_usage(_SHARED).free
    except OSError:
        return None
