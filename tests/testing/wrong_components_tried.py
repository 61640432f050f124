"""Components of which the kit would try too little: options nobody reads or takes, sizes that nothing divides."""

from __future__ import annotations

import torch
from pydantic import Field, PositiveInt
from torch import Tensor, nn
from wrong_components import VECTOR, Adds, Linear, Width

from fusionkit.api import ComponentError, Config, Encoder, Fusion, Probes, TensorShape
from fusionkit.components.component import Component


class Scaled(Width):
    """An option that is there, and one that goes with it."""

    rate: float = Field(0.5, ge=0, le=1, description="A rate that nothing reads.")


class Parted(Config):
    """The parts must divide the width."""

    width: PositiveInt = Field(60, description="Width of the result.")
    parts: PositiveInt = Field(1, description="Number of parts.")
    mode: str = Field("plain", pattern="plain|grouped|strange", description="How.")


class Divided(Linear):
    def __init__(self, config: Parted, inputs: list[TensorShape]) -> None:
        super().__init__(config, inputs)
        if config.parts > 1 and (config.width % (10 * config.parts) or inputs[0].width % 10):
            raise ComponentError(f"{config.parts} parts do not divide the sizes")
        self.mode = config.mode


class Patches(nn.Module):
    """Patches of 50 pixels, which no size that the kit guesses is a multiple of."""

    def __init__(self, config: Width, inputs: list[TensorShape]) -> None:
        super().__init__()
        if any(side % 50 for side in inputs[0].spatial):
            raise ComponentError("its sides must be multiples of 50")
        self.layer = nn.Conv2d(inputs[0].width, config.width, 50, 50)

    def forward(self, image: Tensor) -> Tensor:
        return self.layer(image).flatten(2).mean(2)


class Compares(Adds):
    """The first with the others, of which there may be none."""

    def forward(self, *features: Tensor) -> Tensor:
        return features[0] - torch.stack(features[1:]).mean(0)


class UpToThree(Adds):
    """More inputs than it has weights for."""

    def __init__(self, config: Width, inputs: list[TensorShape]) -> None:
        super().__init__(config, inputs)
        self.weights = nn.Parameter(torch.ones(3))

    def forward(self, *features: Tensor) -> Tensor:
        return torch.stack([x * self.weights[place] for place, x in enumerate(features)]).sum(0)


TOGETHER = Probes(sizes=[((40,),)], together=[{"width": 60, "parts": 3}], values={"mode": ["grouped"]})
WRONG: list[tuple[Component, set[str], str]] = [
    (Encoder("unread", Scaled, Linear, rule=VECTOR), {"values"}, "nothing reads rate"),
    (Encoder("undivided", Parted, Divided, rule=VECTOR, probes=Probes(values={"mode": ["grouped"]})), {"values"},
     "everything tried refuses it: parts=3"),
    (Encoder("unreached_mode", Parted, Divided, rule=VECTOR,
             probes=Probes(sizes=[((40,),)], together=[{"width": 60, "parts": 3}], values={"mode": ["odd"]})),
     {"values"}, "everything tried refuses it: mode='odd'"),
    (Fusion("compares", Width, Compares, rule="*features: B w -> B w"), {"rule"},
     "(B 5), which the rule accepts, the module fails"),
    (Fusion("up_to_three", Width, UpToThree, rule="*features: B w -> B w"), {"rule"},
     "(B 5), (B 5), (B 5), (B 5), (B 5), which"),
]
RIGHT: list[Component] = [
    Encoder("divided", Parted, Divided, rule=VECTOR, probes=TOGETHER),
    Encoder("patches", Width, Patches, rule="image: B _ h w -> B {width}",
            probes=Probes(sizes=[((3, 50, 100),), ((1, 100, 50),)])),
]
