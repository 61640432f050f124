"""What heads tell beside their decoded values, gathered over the passes of one or several networks."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from fusionkit.arrays import Floats
from fusionkit.components.task import Task, TaskMethod

if TYPE_CHECKING:
    from torch import Tensor

    from fusionkit.network.model import FusionModel

# Axes: B batch, S samples drawn at once, K columns of a head.

Told = Mapping[str, Mapping[str, "Tensor"]]
"""For each head that has some, its further numbers by name, (B,) each."""


def told_by(model: FusionModel, given: Mapping[str, Tensor]) -> dict[str, Mapping[str, Tensor]]:
    """What the heads of a network tell of their outputs, those that are given."""
    heads: dict[str, Any] = {name: model.head(name) for name in given}
    return {name: head.details(given[name].float()) for name, head in heads.items() if hasattr(head, "details")}


def poolable(task: Task) -> bool:
    """Whether the task knows how further numbers of several passes become those of all."""
    return type(task.method).pooled is not TaskMethod.pooled


class Passes:
    """The decoded values of each pass, and what heads told beside them, of the heads whose task can pool these."""

    def __init__(self, model: FusionModel) -> None:
        self.heads = [head for head in model.plan.heads
                      if poolable(head.declared_task) and hasattr(model.head(head.name), "details")]
        self.found: dict[str, list[tuple[Tensor, Mapping[str, Tensor]]]] = {head.name: [] for head in self.heads}

    def add(self, values: Mapping[str, Tensor], told: Told) -> None:
        """Add one pass: (B, K) for each head, and the further numbers (B,)."""
        for name, kept in self.found.items():
            kept.append((values[name].float().cpu(), {key: part.float().cpu() for key, part in told[name].items()}))

    def add_samples(self, values: Mapping[str, Tensor], told: Told, samples: int) -> None:
        """Add some samples at once: (S, B, K) for each head, and what was told of S or 1 of them, (S B,) or (B,)."""
        for sample in range(samples if self.found else 0):
            self.add({name: every[sample] for name, every in values.items()},
                     {name: {key: _of(part, sample, values[name].shape[1]) for key, part in told[name].items()}
                      for name in self.found})

    def pooled(self) -> Iterator[tuple[str, Mapping[str, Floats]]]:
        """For each head its further numbers over all passes."""
        for head in self.heads:
            kept = self.found[head.name]
            if kept:
                yield head.name, pooled(head.declared_task, [_plain(told) for _, told in kept],
                                        [values.double().numpy() for values, _ in kept], head.names)


def _of(part: Tensor, sample: int, cases: int) -> Tensor:
    return part if len(part) == cases else part[sample * cases:(sample + 1) * cases]


def _plain(told: Mapping[str, Tensor]) -> dict[str, Floats]:
    return {key: part.double().numpy() for key, part in told.items()}


def pooled(task: Task, details: Sequence[Mapping[str, Floats]], values: Sequence[Floats], names: Sequence[str]
           ) -> Mapping[str, Floats]:
    """The further numbers of several passes or networks as those of all; none where the task cannot pool them."""
    if not poolable(task) or any(part.keys() != details[0].keys() for part in details):
        return {}
    return task.method.pooled({key: np.stack([part[key] for part in details]) for key in details[0]},
                              np.stack(values), names)
