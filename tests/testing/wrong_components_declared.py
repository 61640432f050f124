"""Components whose options, claims or exceptions are at fault, and the checks that must find it."""

from __future__ import annotations

from typing import Any

import torch
from pydantic import BaseModel, ConfigDict, Field, PositiveInt, model_validator
from torch import Tensor, nn
from wrong_components import VECTOR, Adds, Linear, Width

from fusionkit.api import Config, Encoder, Fusion, TensorShape
from fusionkit.components.component import Component


class NoWidth(Config):
    """A default that its own field refuses."""

    width: PositiveInt = Field(0, description="Width of the result.")


class Part(BaseModel):
    """A part of an option."""

    model_config = ConfigDict(extra="forbid")

    rate: float = 0.5


class OpenPart(BaseModel):
    """A part that takes what it does not know."""

    rate: float = Field(0.5, description="Rate.")


class SilentPart(Width):
    """A part of an option that nobody explains."""

    schedule: Part = Field(Part(), description="How it changes.")


class LoosePart(Width):
    """A part of an option that takes all."""

    schedule: OpenPart = Field(OpenPart(), description="How it changes.")


class Forgiving(Width):
    """Removes what it does not know."""

    @model_validator(mode="before")
    @classmethod
    def _known(cls, values: dict[str, Any]) -> dict[str, Any]:
        return {name: value for name, value in values.items() if name in cls.model_fields}


class Unbounded(Config):
    """Any number is a width."""

    width: int = Field(64, description="Width of the result.")


class AnyRate(Width):
    """Any number is a probability."""

    rate: float = Field(0.1, description="Probability of a zero.")


class Vague(Config):
    """Does not say which option is wrong."""

    width: int = Field(64, description="Width of the result.")

    @model_validator(mode="after")
    def _positive(self) -> Vague:
        if self.width < 1:
            raise ValueError("a positive number is needed")
        return self


class Drops(Linear):
    def __init__(self, config: AnyRate, inputs: list[TensorShape]) -> None:
        super().__init__(config, inputs)
        self.drop = nn.Dropout(config.rate)

    def forward(self, features: Tensor) -> Tensor:
        return self.drop(self.layer(features))


class OneKey(nn.Module):
    """Attention of one vector to one other: whatever is asked, the answer is that one."""

    def __init__(self, config: Width, inputs: list[TensorShape]) -> None:
        super().__init__()
        query, value = inputs[0].width, inputs[1].width
        self.ask, self.key = nn.Linear(query, config.width), nn.Linear(value, config.width)
        self.value = nn.Linear(value, config.width)

    def forward(self, query: Tensor, other: Tensor) -> Tensor:
        asked, keys = self.ask(query).unsqueeze(1), self.key(other).unsqueeze(1)
        weights = (asked @ keys.transpose(1, 2)).softmax(2)
        return (weights @ self.value(other).unsqueeze(1)).squeeze(1)


class OneSided(nn.Module):
    def __init__(self, config: Width, inputs: list[TensorShape]) -> None:
        super().__init__()
        self.layer = nn.Linear(inputs[0].width, config.width)

    def forward(self, left: Tensor, right: Tensor) -> Tensor:
        return self.layer(left)


class Ordered(Adds):
    """The first counts double."""

    def forward(self, *features: Tensor) -> Tensor:
        return torch.stack(features).sum(0) + features[0]


class Projects(nn.Module):
    """Alike for all inputs as they are; not alike once each has a projection of its own."""

    def __init__(self, config: Any, inputs: list[TensorShape]) -> None:
        super().__init__()
        self.layers = nn.ModuleList(nn.Linear(shape.width, config.width) for shape in inputs if config.width)

    def forward(self, *features: Tensor) -> Tensor:
        if not self.layers:
            return torch.stack(features).sum(0)
        return torch.stack([layer(x) for layer, x in zip(self.layers, features, strict=True)]).sum(0)


class MaybeWidth(Config):
    """A width if wanted."""

    width: PositiveInt | None = Field(None, description="Width to project to.")


def joined(config: MaybeWidth, inputs: list[TensorShape]) -> TensorShape:
    return type(inputs[0])((config.width or inputs[0].width,))


PAIR = "query: B _, other: B _ -> B {width}"
SAME = "*features: B w -> B w"
DEAD = {"gradients: ask.*": "one key", "gradients: key.*": "one key", "gradients: input:query": "one key"}
WRONG: list[tuple[Component, set[str], str]] = [
    (Encoder("no_width", NoWidth, Linear, rule="B _ -> B {width}"), {"options", "rule"}, "the default 0 of width"),
    (Encoder("silent_part", SilentPart, Linear, rule=VECTOR), {"options", "values"}, "no description: schedule.rate"),
    (Encoder("loose_part", LoosePart, Linear, rule=VECTOR), {"options", "values"}, "not refused by OpenPart"),
    (Encoder("forgiving", Forgiving, Linear, rule=VECTOR), {"options"}, "unknown options are not refused"),
    (Encoder("unbounded", Unbounded, Linear, rule=VECTOR), {"bounds"}, "width=-1 is accepted"),
    (Encoder("any_rate", AnyRate, Drops, rule=VECTOR), {"bounds"}, "rate=-1.0 is accepted"),
    (Encoder("vague", Vague, Linear, rule=VECTOR), {"bounds"}, "a positive number is needed"),
    (Fusion("one_key", Width, OneKey, rule=PAIR), {"gradients"},
     "no gradient reaches ask.bias, ask.weight, key.bias, key.weight, input:query"),
    (Fusion("one_key_partly", Width, OneKey, rule=PAIR, exceptions={"gradients: ask.*": "one key"}), {"gradients"},
     "no gradient reaches key.bias, key.weight, input:query"),
    (Fusion("one_key_too_far", Width, OneKey, rule=PAIR, exceptions=DEAD | {"gradients: value.*": "one key"}),
     {"gradients"}, "the exception 'gradients: value.*' is declared but not needed"),
    (Fusion("one_sided", Width, OneSided, rule="left: B _, right: B _ -> B {width}"), {"gradients"}, "input:right"),
    (Encoder("never_wrong", Width, Linear, rule=VECTOR, exceptions={"rows": "its cases are a sequence"}), {"rows"},
     "declared but not needed"),
    (Encoder("misspelt", Width, Linear, rule=VECTOR, exceptions={"gradient": "it has none"}), {"declaration"},
     "'gradient' refers to no check"),
    (Encoder("not_asked", Width, Linear, rule=VECTOR, exceptions={"absence": "it has none"}), {"declaration"},
     "'absence' refers to no check"),
    (Fusion("ordered", Width, Ordered, rule=SAME, claims=("symmetric",)), {"symmetry"}, "in the order 2, 1, 3"),
    (Fusion("projects", MaybeWidth, Projects, rule="*features: B w", output=joined, claims=("symmetric",)),
     {"symmetry"}, "width=3"),
]
RIGHT: list[Component] = [
    Fusion("one_key_declared", Width, OneKey, rule=PAIR, exceptions=DEAD),
    Fusion("projects_declared", MaybeWidth, Projects, rule="*features: B w", output=joined, claims=("symmetric",),
           exceptions={"symmetry: width=*": "each input has a projection of its own"}),
]
