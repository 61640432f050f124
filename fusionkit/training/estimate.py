"""Estimates of a run before it starts: weights, memory and time."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator, Mapping, Sized
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import cast

import torch
from torch import nn
from torch.utils.data import Dataset

from fusionkit.data.batch import Batch, Case, collate
from fusionkit.data.dataset import CaseDataset
from fusionkit.network.model import FusionModel
from fusionkit.planning.plan import Plan, PlannedNode
from fusionkit.shapes.layouts import MaskedTokens, TensorShape, counted, names_of
from fusionkit.training.batch_order import smallest_share
from fusionkit.training.distributed import wants_cpu, world_size
from fusionkit.training.item_draws import recorded
from fusionkit.training.named_components import NAMING
from fusionkit.training.named_optimisers import optimiser_of
from fusionkit.training.objective import Objective, arguments
from fusionkit.training.optimiser_state import state_tensors
from fusionkit.training.reading_ahead import reading_ahead
from fusionkit.training.settings import TrainingSettings

_WEIGHT_BYTES = 4
_SIDE = 64
_MOST_MEASUREMENTS, _SHORT_SECONDS = 20, 0.2
_DTYPES = {"bf16": torch.bfloat16, "fp16": torch.float16}


@dataclass(frozen=True)
class Estimate:
    """What one process of a run needs. Memory in bytes, an upper bound; time in seconds, None before it is measured.

    `share` is the number of cases in the memory of a process at once, `batches` the batches of one epoch.
    """

    parameters: int
    trainable: int
    weight_bytes: int
    gradient_bytes: int
    optimiser_bytes: int
    case_bytes: int
    available_bytes: int | None
    share: int
    batches: int
    epochs: int
    device: str
    batch_seconds: float | None = None

    @property
    def memory_bytes(self) -> int:
        """All memory of one process."""
        return self.weight_bytes + self.gradient_bytes + self.optimiser_bytes + self.share * self.case_bytes

    @property
    def seconds(self) -> float | None:
        """The time of all epochs without validation; None before it is measured."""
        return None if self.batch_seconds is None else self.batch_seconds * self.batches * self.epochs

    def lines(self) -> list[str]:
        """The estimate as text."""
        lines = [
            f"{self.parameters:,} weights, {self.trainable:,} of them trainable",
            f"at most {bytes_text(self.memory_bytes)} of memory on {self.device}: "
            f"weights {bytes_text(self.weight_bytes)}, gradients {bytes_text(self.gradient_bytes)}, "
            f"optimiser {bytes_text(self.optimiser_bytes)}, {self.share} cases at once "
            f"{bytes_text(self.share * self.case_bytes)}",
        ]
        time_text = "" if self.seconds is None else (
            f": about {seconds_text(self.seconds)} ({seconds_text(self.batch_seconds or 0.0)} a batch)")
        lines.append(f"{self.epochs} epochs of {self.batches} batches{time_text}")
        if self.available_bytes is not None and self.memory_bytes > self.available_bytes:
            lines.append(f"this may not fit into {bytes_text(self.available_bytes)}; a smaller --batch-size with "
                         "--accumulate, or --precision bf16, needs less")
        return lines

    def total(self, folds: int, networks: int) -> str:
        """The time of all folds and networks as text, empty if there is one network."""
        if folds * networks == 1:
            return ""
        every = [*([f"{folds} folds"] if folds > 1 else []), *([f"{networks} networks"] if networks > 1 else [])]
        time_text = "" if self.seconds is None else f": about {seconds_text(self.seconds * folds * networks)} in all"
        return f"{' of '.join(every)}, trained one after the other, each as above{time_text}"


def longest_of(dataset: Dataset[Case]) -> dict[str, int]:
    """The most tokens or items that training takes of a case, by input; empty without any. No file is read for it."""
    if not isinstance(dataset, CaseDataset):
        return {}
    drawn = recorded(dataset)
    found = {name: max([1, *(counts.get(row, 0) for row in dataset.rows)]) for name, counts in dataset.counts.items()}
    return {name: min(count, drawn.get(name, count)) for name, count in found.items()}


def estimate(plan: Plan, settings: TrainingSettings, cases: int, longest: Mapping[str, int] | None = None) -> Estimate:
    """The estimate for a measured plan and a number of training cases.

    Activations are counted as float32 results of every operation, half of that in half precision: an overestimate,
    since some are freed immediately. With masked tokens or items they grow in proportion to the `longest` of the data,
    which a plan does not know; of attention among so many tokens they grow faster, and are underestimated.
    """
    known = longest or {}
    total = plan.total
    assert total is not None, "an estimate needs a measured plan; please report"
    processes = world_size()
    parts = processes if settings.strategy == "fsdp" else 1
    inputs = sum(int(value.shape.count * _grown(value.shape, known)) for value in plan.inputs)
    held = sum(int(node.cost.activation_bytes * _growth(node, known)) for node in plan.nodes if node.cost)
    activations = held // (1 if settings.precision == "fp32" else 2)
    return Estimate(
        parameters=total.parameters, trainable=total.trainable,
        weight_bytes=_WEIGHT_BYTES * total.parameters // parts,
        gradient_bytes=_WEIGHT_BYTES * total.trainable // parts,
        optimiser_bytes=int(_WEIGHT_BYTES * _kept(settings) * total.trainable) // parts,
        case_bytes=_WEIGHT_BYTES * inputs + activations, available_bytes=_available(settings),
        share=-(-min(settings.batch_size, cases) // processes), batches=-(-cases // settings.batch_size),
        epochs=settings.epochs, device="cpu" if wants_cpu(settings) else "cuda")


def _growth(node: PlannedNode, longest: Mapping[str, int]) -> float:
    """How many times the activations of a node are those of its measurement."""
    return max([_grown(read.shape, longest) for lane in node.lanes for read in lane.reads], default=1.0)


def _grown(shape: TensorShape, longest: Mapping[str, int]) -> float:
    """How many times the tokens of a value are those that it was planned with."""
    if not isinstance(shape, MaskedTokens) or any(name not in longest for name in names_of(shape.of)):
        return 1.0
    return counted(shape.of, longest) / shape.positions


def _kept(settings: TrainingSettings) -> float:
    """The numbers that the optimiser keeps for each weight; of others than the plain ones, found by a step."""
    if settings.optimiser in NAMING["optimiser"].words:
        return 2 if settings.optimiser != "sgd" else 1 if settings.momentum else 0
    weight = nn.Parameter(torch.ones(_SIDE, _SIDE))
    weight.grad = torch.ones(_SIDE, _SIDE)
    group = {"params": [weight], "lr": settings.learning_rate, "weight_decay": settings.weight_decay}
    # Some compile their step, which would take longer than the estimate is worth.
    with torch.compiler.set_stance("force_eager"), torch.random.fork_rng(devices=[]):
        made = optimiser_of(settings.chosen_optimiser, [group], settings.model_dump())
        made.step()
    kept = sum(value.numel() for value in state_tensors([("weight", weight)], made).values())
    return kept / weight.numel()


def _available(settings: TrainingSettings) -> int | None:
    if not wants_cpu(settings):
        return torch.cuda.mem_get_info()[0]
    try:
        # Total memory, not free memory: the latter excludes the file cache, which is released on demand.
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (AttributeError, ValueError, OSError):
        return None  # not every system reports it


def timed(before: Estimate, model: FusionModel, dataset: Dataset[Case], settings: TrainingSettings) -> Estimate:
    """The estimate with the time of a batch, the least of some measurements on real cases; the network is unchanged.

    The first of them pay for what is done once. Without a batch that the network can train on, the estimate is returned
    unchanged.
    """
    share = min(before.share, len(cast(Sized, dataset)))
    if share < smallest_share(model.train()):
        return before
    def read() -> float:
        start = time.perf_counter()
        collate([dataset[position] for position in range(share)])
        return time.perf_counter() - start

    batch = collate([dataset[position] for position in range(share)])
    reading = _least(read, 1)
    seconds = step_seconds(model, batch, settings)
    # With workers, reading and computing overlap; without them, the times add up.
    workers = reading_ahead(settings, dataset).workers
    waited = max(seconds, reading / workers) if workers else seconds + reading
    return replace(before, batch_seconds=waited)


def step_seconds(model: FusionModel, batch: Batch, settings: TrainingSettings) -> float:
    """The least time of a forward and a backward pass over a batch on the device of a training."""
    device = torch.device("cpu" if wants_cpu(settings) else "cuda")
    with _undisturbed(model.to(device)):
        return _least(lambda: _run(model, batch.to(device), settings), 2)


def _least(measure: Callable[[], float], times: int) -> float:
    """The least of so many measurements, and of more while they are short."""
    found = [measure() for _ in range(times)]
    while len(found) < _MOST_MEASUREMENTS and sum(found) < _SHORT_SECONDS:
        found.append(measure())
    return min(found)


def _run(model: FusionModel, batch: Batch, settings: TrainingSettings) -> float:
    """The seconds of one forward and backward pass."""
    start = time.perf_counter()
    half = _DTYPES.get(settings.precision)
    with torch.autocast(batch.index.device.type, dtype=half, enabled=half is not None):
        results = Objective(model)(*arguments(model, batch))
    torch.stack(list(results.values())).sum().backward()  # type: ignore[no-untyped-call]
    if batch.index.device.type == "cuda":
        torch.cuda.synchronize()
    return time.perf_counter() - start


@contextmanager
def _undisturbed(model: FusionModel) -> Iterator[None]:
    """Within, a pass has no side effects: buffers, gradients and random state are restored afterwards."""
    buffers = {name: value.clone() for name, value in model.named_buffers()}
    with torch.random.fork_rng(devices=[]):
        yield
    for name, value in model.named_buffers():
        value.copy_(buffers[name])
    model.zero_grad(set_to_none=True)


def bytes_text(count: int) -> str:
    """An amount of memory for readers."""
    for unit, size in (("GB", 10**9), ("MB", 10**6), ("kB", 10**3)):
        if count >= size:
            return f"{count / size:.1f} {unit}"
    return f"{count} B"


def seconds_text(seconds: float) -> str:
    """A duration for readers."""
    for unit, size in (("h", 3600.0), ("min", 60.0)):
        if seconds >= 2 * size:
            return f"{seconds / size:.1f} {unit}"
    return f"{seconds:.2g} s"
