"""Passes over the cases that collect the pooled features of some nodes, or the gates of fusions."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset

from fusionkit.arrays import Bools, Floats
from fusionkit.data.batch import Batch, collate
from fusionkit.errors import RunError
from fusionkit.explanation.feature_maps import Begun, Survey, begun
from fusionkit.inference.calls import ModuleCall
from fusionkit.inference.predict import Settings
from fusionkit.layers.masking import mean_valid
from fusionkit.network.absence import Valid, tokens_valid
from fusionkit.planning.plan import Value
from fusionkit.shapes.layouts import MaskedTokens

# Axes: B batch, M inputs of a fusion, w width.


@dataclass(frozen=True)
class Features:
    """One tensor for every case, averaged over positions.

    Shapes: `values` (N, w); `there` (N,) is False where the tensor is missing.
    """

    value: Value
    values: Floats
    there: Bools


@dataclass(frozen=True)
class Gates:
    """The weight that a fusion gives each of its inputs: `values` (N, M), mean over features and positions.

    `there` (N, M) is False where an input is missing. `path` is the module's.
    """

    path: str
    use: str
    inputs: tuple[str, ...]
    values: Floats
    there: Bools


def batches(dataset: Dataset[Any], settings: Settings) -> Iterator[Batch]:
    """The cases of a dataset, in order, on the device."""
    # With a generator of its own, since a loader draws a seed, which would move the global random state.
    loader: DataLoader[Any] = DataLoader(dataset, settings.batch_size, collate_fn=collate, generator=torch.Generator())
    for batch in loader:
        yield batch.to(settings.chosen_device)


def features_of(survey: Survey, dataset: Dataset[Any], values: Collection[Value], settings: Settings
                ) -> dict[str, Features]:
    """The pooled features of some tensors of the network, by name."""
    place = {value.name: slot for slot, value in enumerate(survey.values)}
    pooled: dict[str, list[tuple[Tensor, Tensor]]] = {value.name: [] for value in values}
    with torch.inference_mode():
        for batch in batches(dataset, settings):
            state = begun(survey.model, survey.steps, batch.inputs, batch.masks)
            for step in survey.steps.calls:
                state.run(step)
            for value in values:
                tensor, mask = state.slots[place[value.name]], state.masks[place[value.name]]
                pooled[value.name].append((pool(tensor, value, state.valid), _rows(mask, len(batch), tensor)))
    return {value.name: Features(value, *_joined(pooled[value.name])) for value in values}


def gated(survey: Survey) -> list[int]:
    """The numbers of the calls of fusions that report gates."""
    return [number for number, step in enumerate(survey.steps.calls)
            if step.planned.component.kind == "fusion" and callable(getattr(step.module, "gates", None))]


def gates_of(survey: Survey, dataset: Dataset[Any], settings: Settings) -> list[Gates]:
    """The gates of every fusion that reports them.

    Raises: RunError if the gates of a component do not have the shape required by the contract.
    """
    steps = survey.steps
    weighed: dict[int, list[tuple[Tensor, Tensor]]] = {number: [] for number in gated(survey)}
    with torch.inference_mode():
        for batch in batches(dataset, settings):
            state = begun(survey.model, steps, batch.inputs, batch.masks)
            for number, step in enumerate(steps.calls):
                if number in weighed:
                    weighed[number].append(_gates(step, state))
                state.run(step)
    return [Gates(survey.paths[number], steps.calls[number].planned.component.id,
                  tuple(label for label, _ in steps.calls[number].planned.inputs), *_joined(parts))
            for number, parts in weighed.items()]


def pool(tensor: Tensor, value: Value, valid: Valid | None = None) -> Tensor:
    """The mean over positions of a vector, tokens or a map: (B, w); padding of masked tokens is left out."""
    if isinstance(value.shape, MaskedTokens) and valid is not None:
        return mean_valid(tensor, tokens_valid(value.shape.of, valid))
    if value.shape.layout == "tokens":
        return tensor.mean(1)
    return tensor.flatten(2).mean(2) if value.shape.spatial else tensor


def _gates(step: ModuleCall, state: Begun) -> tuple[Tensor, Tensor]:
    """Gates and presence of one call, (B, M) both."""
    args, columns = [state.slots[slot] for slot in step.reads], [state.masks[slot] for slot in step.reads]
    filled, more = step.absence.prepared(args, columns)
    count = len(args[0])
    there = torch.stack([_rows(column, count, args[0]) for column in columns], 1)
    report: nn.Module = step.module
    given = report.gates(filled, **more, **step.absence.valid(state.valid))  # type: ignore[operator]  # known to be callable
    if not isinstance(given, Tensor) or tuple(given.shape[:2]) != (count, len(args)):
        shape = tuple(given.shape) if isinstance(given, Tensor) else type(given).__name__
        raise RunError(f"the gates of {step.planned.component.id} are {shape}; expected (cases, inputs, ...), "
                       f"here ({count}, {len(args)}, ...)")
    return given.float().reshape(count, len(args), -1).mean(2), there


def _rows(mask: Tensor | None, count: int, like: Tensor) -> Tensor:
    return torch.ones(count, dtype=torch.bool, device=like.device) if mask is None else mask


def _joined(parts: Sequence[tuple[Tensor, Tensor]]) -> tuple[Floats, Bools]:
    values, flags = zip(*parts, strict=True)
    return (torch.cat(values).cpu().double().numpy(), torch.cat(flags).cpu().numpy())
