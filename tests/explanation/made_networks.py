"""Networks of which it is known where they look and what each input adds, and small cohorts for them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.data import Dataset

from fusionkit.api import Config, Encoder, Fusion, TensorShape
from fusionkit.components.component import Component
from fusionkit.data.batch import Case
from fusionkit.network.build import build
from fusionkit.network.model import FusionModel
from fusionkit.registry.lookup import Registry, discover


class NoConfig(Config):
    """No options."""


class Weighing(nn.Module):
    """Two maps, and of each the mean times a known weight; the head adds them up by its own."""

    def __init__(self, config: NoConfig, inputs: Sequence[TensorShape]) -> None:
        super().__init__()
        make = nn.Conv2d if len(inputs[0].spatial) == 2 else nn.Conv3d
        self.map = make(inputs[0].width, 2, 1, bias=False)
        self.act = nn.ReLU(inplace=True)

    def forward(self, image: Tensor) -> Tensor:
        return self.act(self.map(image)).flatten(2).mean(2)


class Corner(nn.Module):
    """Sees one corner only: a window of half the size on every axis, at the end of each."""

    def __init__(self, config: NoConfig, inputs: Sequence[TensorShape]) -> None:
        super().__init__()
        self.register_buffer("window", torch.zeros(inputs[0].spatial))
        self.window[tuple(slice(size - size // 2, None) for size in inputs[0].spatial)] = 1.0
        pool = nn.AvgPool2d if len(inputs[0].spatial) == 2 else nn.AvgPool3d
        self.seen = pool(2)

    def forward(self, image: Tensor) -> Tensor:
        return self.seen(image * self.window).flatten(1).sum(1, keepdim=True)


class Stopping(nn.Module):
    """Lets no gradient through."""

    def __init__(self, config: NoConfig, inputs: Sequence[TensorShape]) -> None:
        super().__init__()

    def forward(self, features: Tensor) -> Tensor:
        return features.detach()


class Strict(nn.Module):
    """Adds two vectors, and cannot be without one."""

    def __init__(self, config: NoConfig, inputs: Sequence[TensorShape]) -> None:
        super().__init__()

    def forward(self, left: Tensor, right: Tensor) -> Tensor:
        return left + right


class Product(nn.Module):
    """Adds up what is there, and where both are there their product too."""

    def __init__(self, config: NoConfig, inputs: Sequence[TensorShape]) -> None:
        super().__init__()

    def forward(self, *features: Tensor, present: Tensor | None = None) -> Tensor:
        if present is None:
            present = torch.ones(len(features[0]), len(features), dtype=torch.bool)
        filled = [x.where(mask.unsqueeze(1), 0.0) for x, mask in zip(features, present.unbind(1), strict=True)]
        return sum(filled) + filled[0] * filled[1]


class WrongGates(Product):
    """Reports gates of a shape that says nothing."""

    def gates(self, features: Sequence[Tensor], present: Tensor | None = None) -> Tensor:
        return torch.ones(len(features[0]))


COMPONENTS: list[Component] = [
    Encoder("weighing", NoConfig, Weighing, rule="B _ ... -> B 2"),
    Encoder("corner", NoConfig, Corner, rule="B _ ... -> B 1"),
    Encoder("stopping", NoConfig, Stopping, rule="B c -> B c"),
    Fusion("strict", NoConfig, Strict, rule="left: B w, right: B w -> B w"),
    Fusion("sum_and_product", NoConfig, Product, rule="*features: B w -> B w", absent="drop"),
    Fusion("wrong_gates", NoConfig, WrongGates, rule="*features: B w -> B w", absent="drop"),
]


def network(inputs: Mapping[str, Any], nodes: Mapping[str, Any], seed: int = 0) -> FusionModel:
    """The network of a graph that may use the components above, in evaluation mode."""
    return build({"fusionkit": 1, "inputs": inputs, "nodes": nodes}, components=COMPONENTS, seed=seed).eval()


def registry() -> Registry:
    """What is installed, and the components above."""
    return discover(components=COMPONENTS)


class Cases(Dataset[Case]):
    """Random cases for a network, some inputs absent where `present` says so: a mask (N,) by input."""

    def __init__(self, model: FusionModel, count: int = 7, present: Mapping[str, Tensor] | None = None) -> None:
        generator = torch.Generator().manual_seed(0)
        self.inputs = {value.name: torch.randn(count, *value.shape.sizes, generator=generator)
                       for value in model.plan.inputs}
        everyone = torch.ones(count, dtype=torch.bool)
        self.present = {name: (present or {}).get(name, everyone) for name in self.inputs}
        self.count = count

    def __len__(self) -> int:
        return self.count

    def __getitem__(self, at: int) -> Case:
        if at >= self.count:
            raise IndexError(at)
        return {"index": at, "inputs": {name: tensor[at] for name, tensor in self.inputs.items()},
                "present": {name: bool(mask[at]) for name, mask in self.present.items()}, "targets": {},
                "target_present": {}}

    @property
    def batch(self) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
        """All cases at once: inputs and what is present."""
        return self.inputs, self.present
