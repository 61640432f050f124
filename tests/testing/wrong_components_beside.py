"""Components that are wrong in what they do beside their work, which other checks would blame on something else."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from wrong_components import VECTOR, Linear, Width

from fusionkit.api import Encoder, TensorShape
from fusionkit.components.component import Component


class AddsInPlace(Linear):
    """Autograd refuses it too, with a message about leaves."""

    def forward(self, features: Tensor) -> Tensor:
        features += 1
        return self.layer(features)


class InPlaceInTraining(Linear):
    def forward(self, features: Tensor) -> Tensor:
        if self.training:
            features[:, 0] = 0
        return self.layer(features)


class Prints(Linear):
    def forward(self, features: Tensor) -> Tensor:
        print("shape", tuple(features.shape))
        return self.layer(features)


class PrintsWhenBuilt(Linear):
    def __init__(self, config: Width, inputs: list[TensorShape]) -> None:
        super().__init__(config, inputs)
        print("built")


class Counts(Linear):
    """The length of a tensor is a number, that of the batch it was traced with."""

    def forward(self, features: Tensor) -> Tensor:
        count = len(features)
        return self.layer(features) * torch.ones(count, 1, device=features.device, dtype=features.dtype)


class Attends(nn.Module):
    """Self-attention with a bias of its own for the keys, which softmax ignores."""

    def __init__(self, config: Width, inputs: list[TensorShape]) -> None:
        super().__init__()
        width = inputs[0].width
        self.query, self.key, self.value = (nn.Linear(width, config.width) for _ in range(3))

    def forward(self, tokens: Tensor) -> Tensor:
        query, key, value = self.query(tokens), self.key(tokens), self.value(tokens)
        return (query @ key.transpose(1, 2) / 8).softmax(2) @ value


class AttendsFused(Attends):
    def forward(self, tokens: Tensor) -> Tensor:
        query, key, value = self.query(tokens), self.key(tokens), self.value(tokens)
        return nn.functional.scaled_dot_product_attention(query, key, value)


class AttendsBesideOne(Attends):
    """Another softmax is over a single entry, and says nothing."""

    def forward(self, tokens: Tensor) -> Tensor:
        return super().forward(tokens) * tokens.mean((1, 2), keepdim=True).softmax(2)


class AttendsWithScale(Attends):
    """Beside the bias of the keys, a weight that is in no use at all."""

    def __init__(self, config: Width, inputs: list[TensorShape]) -> None:
        super().__init__(config, inputs)
        self.scale = nn.Parameter(torch.ones(()))


TOKENS = "tokens: B n _ -> B n {width}"
SYMMETRIC: list[Component] = [
    Encoder("attends", Width, Attends, rule=TOKENS),
    Encoder("attends_beside_one", Width, AttendsBesideOne, rule=TOKENS),
    Encoder("attends_fused", Width, AttendsFused, rule=TOKENS),
]
WRONG: list[tuple[Component, set[str], str]] = [
    (Encoder("adds_in_place", Width, AddsInPlace, rule=VECTOR), {"evaluation"}, "changes its inputs in place ("),
    (Encoder("in_place_in_training", Width, InPlaceInTraining, rule=VECTOR), {"evaluation"}, "in place in training"),
    (Encoder("prints", Width, Prints, rule=VECTOR), {"evaluation"}, "forward prints 'shape (5, 5)'"),
    (Encoder("prints_when_built", Width, PrintsWhenBuilt, rule=VECTOR), {"evaluation"}, "the constructor prints"),
    (Encoder("attends_with_scale", Width, AttendsWithScale, rule=TOKENS), {"gradients"},
     "no gradient reaches scale (defaults"),
    (Encoder("counts_cases", Width, Counts, rule=VECTOR), {"export"}, "'count = len(features)' makes"),
]
LINES = {"attends_with_scale": "self.scale = nn.Parameter(torch.ones(()))",
         "adds_in_place": "features += 1", "in_place_in_training": "features[:, 0] = 0",
         "prints": 'print("shape", tuple(features.shape))', "prints_when_built": 'print("built")',
         "counts_cases": "count = len(features)"}
"""The line that each fault is shown at."""
