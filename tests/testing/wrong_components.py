"""Components with one fault each, as an author could write them, and the checks that must find it."""

from __future__ import annotations

from typing import Any

import torch
from pydantic import ConfigDict, Field, PositiveInt
from torch import Tensor, nn

from fusionkit.api import (
    ComponentError,
    Config,
    Encoder,
    Fusion,
    Head,
    HeadPrediction,
    Prediction,
    Runner,
    TensorShape,
    Uncertainty,
)
from fusionkit.components.component import Component


class Width(Config):
    """One option."""

    width: PositiveInt = Field(64, description="Width of the result.")


class Silent(Config):
    """An option that nobody explains."""

    width: PositiveInt = 64


class Open(Width):
    """Takes what it does not know."""

    model_config = ConfigDict(extra="ignore")


class Named(Config):
    """Names of columns."""

    classes: list[str] = Field(min_length=2, description="Names of the classes.")


class Path(Config):
    """An option that cannot be guessed."""

    path: dict[str, str] = Field(description="Where it is.")


class Linear(nn.Module):
    """What is right: B _ -> B {width}."""

    def __init__(self, config: Any, inputs: list[TensorShape]) -> None:
        super().__init__()
        self.width = config.width
        self.layer = nn.Linear(inputs[0].width, config.width)

    def forward(self, features: Tensor) -> Tensor:
        return self.layer(features)


class Fixed(Linear):
    def __init__(self, config: Width, inputs: list[TensorShape]) -> None:
        super().__init__(Width(), inputs)


class Dead(Linear):
    def __init__(self, config: Width, inputs: list[TensorShape]) -> None:
        super().__init__(config, inputs)
        self.forgotten = nn.Parameter(torch.zeros(3))


class Noisy(Linear):
    def forward(self, features: Tensor) -> Tensor:
        return nn.functional.dropout(self.layer(features), 0.5, training=True)


class Remembers(Linear):
    before: Tensor | float = 0.0

    def forward(self, features: Tensor) -> Tensor:
        result, self.before = self.layer(features) + self.before, features.sum().detach()
        return result


class InPlace(Linear):
    def forward(self, features: Tensor) -> Tensor:
        return self.layer(features.mul_(2))


class Mixes(Linear):
    def forward(self, features: Tensor) -> Tensor:
        return self.layer(features - features.mean(0))


class OnCPU(Linear):
    def forward(self, features: Tensor) -> Tensor:
        return self.layer(features) + torch.arange(self.width, device="cpu").to(features.dtype)


class Single(Linear):
    def forward(self, features: Tensor) -> Tensor:
        return self.layer(features) @ torch.eye(self.width, device=features.device)


class Turns(nn.Module):
    """Cases and tokens exchanged: one size for both would hide it."""

    def __init__(self, config: Width, inputs: list[TensorShape]) -> None:
        super().__init__()

    def forward(self, tokens: Tensor) -> Tensor:
        return tokens.transpose(0, 1)


class Adds(nn.Module):
    def __init__(self, config: Width, inputs: list[TensorShape]) -> None:
        super().__init__()

    def forward(self, *features: Tensor) -> Tensor:
        return torch.stack(features).sum(0)


class Ignores(Adds):
    def forward(self, *features: Tensor, present: Tensor | None = None) -> Tensor:
        return torch.stack(features).sum(0)


class Multiplies(Adds):
    """Zero times NaN is NaN."""

    def forward(self, *features: Tensor, present: Tensor | None = None) -> Tensor:
        weights = torch.ones(len(features[0]), len(features)).to(features[0]) if present is None else present
        return (torch.stack(features, 1) * weights.unsqueeze(2)).sum(1)


class Refuses(Linear):
    def __init__(self, config: Width, inputs: list[TensorShape]) -> None:
        raise ComponentError("it wants 1000 features")


class Classify(nn.Module):
    def __init__(self, config: Named, inputs: list[TensorShape]) -> None:
        super().__init__()
        self.layer = nn.Linear(inputs[0].width, len(config.classes))

    def forward(self, features: Tensor) -> Tensor:
        return self.layer(features)

    def loss(self, output: Tensor, target: Tensor) -> Tensor:
        return nn.functional.cross_entropy(output, target, reduction="none")

    def decode(self, output: Tensor) -> Tensor:
        return output.softmax(1)

    def balance(self, counts: Tensor) -> None:
        pass


class MeanLoss(Classify):
    def loss(self, output: Tensor, target: Tensor) -> Tensor:
        return nn.functional.cross_entropy(output, target)


class Centred(Classify):
    def loss(self, output: Tensor, target: Tensor) -> Tensor:
        return super().loss(output - output.mean(0), target)


class Logits(Classify):
    def decode(self, output: Tensor) -> Tensor:
        return output


class Undecided(Classify):
    decode = None


class Once:
    def __init__(self, config: Width) -> None:
        pass

    def predict(self, run: Runner) -> Prediction:
        return {name: HeadPrediction(values, {"doubt": values}) for name, values in run.once().items()}


VECTOR = "B _ -> B {width}"
WRONG: list[tuple[Component, set[str], str]] = [
    (Encoder("silent", Silent, Linear, rule=VECTOR), {"options"}, "no description: width"),
    (Encoder("open", Open, Linear, rule=VECTOR), {"options"}, "unknown options are not refused"),
    (Encoder("renamed", Width, Linear, rule="table: B _ -> B {width}"), {"ports"}, "(features)"),
    (Encoder("renamed_function", Width, lambda config, inputs: Linear(config, inputs), rule="table: B _ -> B {width}"),
     {"ports"}, "(features)"),
    (Fusion("deaf", Width, Adds, rule="*features: B w -> B w", absent="drop"), {"ports", "absence"}, "'present'"),
    (Fusion("idle", Width, Ignores, rule="*features: B w -> B w"), {"ports"}, "never gives it"),
    (Encoder("fixed", Width, Fixed, rule=VECTOR), {"rule"}, "forward gives [61, 64]"),
    (Encoder("turns", Width, Turns, rule="B n c -> B n c"), {"rule", "rows"}, "for a batch of 61"),
    (Fusion("narrow", Width, Adds, rule="*features: B _", output=lambda config, inputs: inputs[0]), {"rule"},
     "which the rule accepts, the module fails"),
    (Encoder("dead", Width, Dead, rule=VECTOR), {"gradients"}, "forgotten"),
    (Encoder("noisy", Width, Noisy, rule=VECTOR), {"evaluation", "rows"}, "random numbers"),
    (Encoder("remembers", Width, Remembers, rule=VECTOR), {"evaluation", "memory", "rows", "copies", "compile"},
     "after another batch"),
    (Encoder("in_place", Width, InPlace, rule=VECTOR), {"evaluation"}, "in place"),
    (Encoder("mixes", Width, Mixes, rule=VECTOR), {"rows"}, "the same case alone"),
    (Encoder("on_cpu", Width, OnCPU, rule=VECTOR), {"device"}, "meta"),
    (Encoder("single", Width, Single, rule=VECTOR), {"dtype"}, "float64"),
    (Fusion("ignores", Width, Ignores, rule="*features: B w -> B w", absent="drop"), {"absence"}, "holds nan"),
    (Fusion("multiplies", Width, Multiplies, rule="*features: B w -> B w", absent="neutral"), {"absence"},
     "holds nan"),
    (Head("mean_loss", Named, MeanLoss, rule="features: B _ -> B {classes}"), {"head"}, "shape []"),
    (Head("centred", Named, Centred, rule="features: B _ -> B {classes}"), {"head"}, "that does not count"),
    (Head("logits", Named, Logits, rule="features: B _ -> B {classes}"), {"head"}, "outside 0..1"),
    (Head("undecided", Named, Undecided, rule="features: B _ -> B {classes}"), {"head"}, "'decode'"),
    (Uncertainty("once", Width, Once), {"method"}, "'doubt' of 'classes' is [4, 3]"),
]


def linear(config: Width, inputs: list[TensorShape]) -> nn.Module:
    """A function makes a module as well as a class does."""
    return Linear(config, inputs)


RIGHT: list[Component] = [
    Encoder("right_function", Width, linear, rule=VECTOR),
    Encoder("right", Width, Linear, rule=VECTOR),
    Head("right", Named, Classify, rule="features: B _ -> B {classes}"),
]
GUARDED = Encoder("guarded", Path, Linear, rule="B _ -> B 3")
REFUSES = Encoder("refuses", Width, Refuses, rule=VECTOR)
