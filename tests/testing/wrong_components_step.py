"""Losses over a step and heads that are settled, right ones and others with one fault each, for the checks of these."""

from __future__ import annotations

from typing import Any

import torch
from pydantic import Field
from torch import Tensor, nn

from fusionkit.api import CaseComparison, Config, Fusion, Head, TensorShape
from fusionkit.components.component import Component


class Values(Config):
    """Names of columns."""

    values: list[str] = Field(min_length=1, description="Names of the values.")


class Weight(Config):
    """A weight."""

    weight: float = Field(0.5, description="Weight of the loss.", gt=0)


class Ranked(nn.Module):
    """Cases of larger targets are to have larger results: the log of a sum over all that have no larger one."""

    def __init__(self, config: Values, inputs: list[TensorShape]) -> None:
        super().__init__()
        self.layer = nn.Linear(inputs[0].width, len(config.values))
        self.register_buffer("offset", torch.zeros(len(config.values)))

    def forward(self, features: Tensor) -> Tensor:
        return self.layer(features)

    def loss(self, output: Tensor, target: Tensor) -> Tensor:
        above = target[:, :1] >= target[:, 0]
        return output[:, 0].expand(len(output), -1).where(above, float("-inf")).logsumexp(1) - output[:, 0]

    def decode(self, output: Tensor) -> Tensor:
        return output + self.offset

    def balance(self, counts: Tensor) -> None:
        pass

    def settle(self, output: Tensor, target: Tensor) -> None:
        self.offset.copy_((target - output).mean(0))


class ByPlace(Ranked):
    def loss(self, output: Tensor, target: Tensor) -> Tensor:
        return (output - target).square().mean(1) + output.detach().cumsum(0)[:, 0] * output[:, 0]


class Spread(Ranked):
    def loss(self, output: Tensor, target: Tensor) -> Tensor:
        return (output - target).square().mean(1) / target.std(0).mean()


class Counting(Ranked):
    def loss(self, output: Tensor, target: Tensor) -> Tensor:
        self.offset.add_(1)
        return super().loss(output, target)


class Growing(Ranked):
    def settle(self, output: Tensor, target: Tensor) -> None:
        self.offset = target.flatten()


class Moving(Ranked):
    def settle(self, output: Tensor, target: Tensor) -> None:
        with torch.no_grad():
            self.layer.bias.add_(1)


class Adding(Ranked):
    def settle(self, output: Tensor, target: Tensor) -> None:
        self.offset += (target - output).mean(0)


class Unsaved(Ranked):
    shift: Tensor | float = 0.0

    def settle(self, output: Tensor, target: Tensor) -> None:
        self.shift = (target - output).mean(0)

    def decode(self, output: Tensor) -> Tensor:
        return output + self.shift


class Unknown(Ranked):
    def settle(self, output: Tensor, target: Tensor) -> None:
        self.offset.copy_(torch.full_like(self.offset, torch.nan))


class Scaled(Ranked):
    def prepare(self, target: Tensor) -> None:
        self.offset.copy_(target.mean(0))


class ScaledByFirst(Ranked):
    def prepare(self, target: Tensor) -> None:
        self.offset.copy_(target[0])


class ScaledByNothing(Ranked):
    def prepare(self, target: Tensor) -> None:
        self.offset.copy_(target.mean(0) / 0)


class Apart(CaseComparison):
    """The mean cosine of different cases."""

    def compare(self, vectors: Tensor) -> Tensor:
        directions = nn.functional.normalize(vectors, dim=1)
        return (directions @ directions.T).mean()


class InOrder(CaseComparison):
    def compare(self, vectors: Tensor) -> Tensor:
        return (vectors[1:] - vectors[:-1]).square().mean()


class Spreads(nn.Module):
    """The input, and a loss that spreads the cases apart."""

    comparison: type[CaseComparison] = Apart

    def __init__(self, config: Weight, inputs: list[TensorShape]) -> None:
        super().__init__()
        self.weight = config.weight
        self.apart = self.comparison()

    def forward(self, features: Tensor) -> tuple[Tensor, Tensor]:
        return features, self.weight * self.apart(features)


class Alone(Spreads):
    def __init__(self, config: Weight, inputs: list[TensorShape]) -> None:
        nn.Module.__init__(self)
        self.weight = config.weight

    def forward(self, features: Tensor) -> tuple[Tensor, Tensor]:
        return features, self.weight * features.mean()


class Centres(Spreads):
    def forward(self, features: Tensor) -> tuple[Tensor, Tensor]:
        return features, self.weight * self.apart(features - features.mean(0))


class Squares(Spreads):
    def forward(self, features: Tensor) -> tuple[Tensor, Tensor]:
        return features, self.weight * self.apart(features).square()


class Placed(Spreads):
    comparison = InOrder


class Draws(Spreads):
    def forward(self, features: Tensor) -> tuple[Tensor, Tensor]:
        noise = torch.rand(features.shape, generator=_GENERATOR).to(features) if self.training else 0
        return features, self.weight * self.apart(features + noise)


_GENERATOR = torch.Generator()


def _head(name: str, module: Any) -> Head:
    return Head(name, Values, module, rule="features: B _ -> B {values}", task="regression", names="values",
                cases="step")


def _loss(name: str, module: Any) -> Fusion:
    return Fusion(name, Weight, module, rule="features: B c -> features: B c, loss_apart: ()", cases="step")


RIGHT: list[Component] = [_head("ranked", Ranked), _head("scaled", Scaled), _loss("spreads", Spreads)]
WRONG: list[tuple[Component, set[str], str]] = [
    (_head("by_place", ByPlace), {"step"}, "order of the cases"),
    (_head("spread", Spread), {"step"}, "a single case"),
    (_head("counting", Counting), {"step"}, "another the next time"),
    (_head("growing", Growing), {"settle"}, "changes the shapes of buffers"),
    (_head("moving", Moving), {"settle"}, "changes weights"),
    (_head("adding", Adding), {"settle"}, "on what it fitted before"),
    (_head("unsaved", Unsaved), {"settle"}, "not in the state dict"),
    (_head("unknown", Unknown), {"settle"}, "not finite after settle"),
    (_head("scaled_by_first", ScaledByFirst), {"prepare"}, "order of the cases"),
    (_head("scaled_by_nothing", ScaledByNothing), {"prepare"}, "not finite after prepare"),
    (_loss("alone", Alone), {"step"}, "has no comparison"),
    (_loss("centres", Centres), {"step"}, "depends on the other cases of the batch"),
    (_loss("squares", Squares), {"step"}, "than multiply it by a weight"),
    (_loss("placed", Placed), {"step"}, "order of the cases"),
    (_loss("draws", Draws), {"memory", "step"}, "random numbers of its own"),
]
