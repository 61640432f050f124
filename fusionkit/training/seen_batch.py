"""A batch as a training method sees it: targets, features, logits, and further passes with less of the inputs."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from contextlib import nullcontext
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from fusionkit.data.batch import Batch
from fusionkit.errors import RunError
from fusionkit.layers.modes import in_mode
from fusionkit.network.model import FusionModel
from fusionkit.training.objective import arguments, counted, loss_sum

# Axes: B cases of a batch.


@dataclass
class BatchSeen:
    """See `BatchView`; `weights` divide the sum of the losses of each head by its cases of the step."""

    network: FusionModel
    batch: Batch
    results: Mapping[str, Tensor]
    names: Mapping[str, str]
    weights: Mapping[str, float] = field(default_factory=dict)
    autocast: Any = nullcontext
    sharded: bool = False

    def __post_init__(self) -> None:
        self.inputs, self.masks, targets, target_present = arguments(self.network, self.batch)
        self.targets: Mapping[str, Tensor] = targets
        self.known: Mapping[str, Tensor] = counted(self.network, self.masks, target_present)
        self.present: Mapping[str, Tensor] = self.batch.present
        self.optional: Collection[str] = frozenset(self.masks)

    def features(self, modality: str) -> Tensor:
        """What a modality gives to the fusion."""
        value = self.names[modality]
        return self.inputs[value] if value == modality else self.results[f"features/{value}"]

    def logits(self, head: str) -> Tensor:
        """The raw output of a head."""
        return self.results[f"output/{head}"]

    def again(self, *, absent: Collection[str] = (), zeros: Collection[str] = (), evaluation: bool = True
              ) -> Mapping[str, Tensor]:
        """The raw outputs of all heads in a further pass."""
        if self.sharded:
            raise RunError("further passes cannot be used with 'strategy: fsdp'; train without it")
        certain = sorted(set(absent).difference(self.optional))
        if certain:
            raise RunError(f"the input {certain[0]!r} cannot be absent in a further pass, since it is not optional")
        present = {name: torch.zeros_like(mask) if name in absent else mask for name, mask in self.masks.items()}
        inputs = {name: torch.zeros_like(value) if name in zeros else value for name, value in self.inputs.items()}
        heads = {head.name for head in self.network.plan.heads}
        mode = in_mode(list(self.network.modules()), training=False) if evaluation else nullcontext()
        with mode, self.autocast():
            given = self.network(inputs, present)
        return {name: value for name, value in given.items() if name in heads}

    def loss(self, head: str, output: Tensor) -> Tensor:
        """The loss of a head for other outputs, as part of the step."""
        with self.autocast():
            found = loss_sum(self.network.head(head), output, self.targets[head], self.known[head])
        return found * self.weights[head]


class _Scaled(torch.autograd.Function):
    """The same numbers, whose gradient is multiplied."""

    @staticmethod
    def forward(context: Any, values: Tensor, factor: float) -> Tensor:
        context.factor = factor
        return values.view_as(values)

    @staticmethod
    def backward(context: Any, gradient: Tensor) -> tuple[Tensor, None]:
        return gradient * context.factor, None


def scaled(values: Tensor, factor: float) -> Tensor:
    """A tensor whose gradient is multiplied by a factor."""
    found: Tensor = _Scaled.apply(values, factor)
    return found
