"""Fusions around one fusion or several, given as options, and a registry that knows them beside the bundled ones."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from pydantic import Field
from torch import Tensor, nn

from fusionkit.api import (
    Bundle,
    ComponentError,
    Config,
    Encoder,
    Fusion,
    Inner,
    Projections,
    TensorShape,
    Vector,
    inner,
    zero_empty,
)
from fusionkit.registry.lookup import Registry, discover


class ResidualConfig(Config):
    """Options of `fusion.residual`."""

    fusion: Inner = inner("fusion", default="fusion.mean", absent=("drop", "neutral"), description="The fusion.")


class Residual(nn.Module):
    """What a fusion gives, with the mean of the projected inputs. Shapes: M times (B, c); gives that of the fusion."""

    def __init__(self, config: ResidualConfig, inputs: Sequence[TensorShape]) -> None:
        super().__init__()
        self.fusion = config.fusion.module(inputs)
        self.ways = Projections(inputs, _vector(config.fusion, inputs).width)

    def forward(self, *features: Tensor, present: Tensor | None = None) -> Tensor:
        fused: Tensor = self.fusion(*features, present=present)
        ways = torch.stack(self.ways(features, present), 1)
        there = torch.ones_like(ways[..., :1]) if present is None else present.unsqueeze(2).to(ways.dtype)
        return zero_empty(fused + (ways * there).sum(1) / there.sum(1).clamp(min=1), present)


def _vector(fusion: Inner, inputs: Sequence[TensorShape]) -> TensorShape:
    given = fusion.output(inputs)
    if not isinstance(given, Vector):
        raise ComponentError(f"{fusion.use} gives no single vector", fix="use a fusion that joins its inputs")
    return given


class MixtureConfig(Config):
    """Options of `fusion.mixture`."""

    experts: list[Inner] = inner("fusion", absent=("drop", "neutral"), description="The fusions that are mixed.")
    width: int = Field(5, ge=1, description="Width of the result.")


class Mixture(nn.Module):
    """The outputs of several fusions, projected and weighted by a softmax. Shapes: M times (B, c); gives (B, width)."""

    def __init__(self, config: MixtureConfig, inputs: Sequence[TensorShape]) -> None:
        super().__init__()
        if len(config.experts) < 2:
            raise ComponentError("'experts' are fewer than two", fix="list two fusions or more under 'experts'")
        self.experts = nn.ModuleList(expert.module(inputs) for expert in config.experts)
        widths = [_vector(expert, inputs).width for expert in config.experts]
        self.out = nn.ModuleList(nn.Linear(width, config.width) for width in widths)
        self.gate = nn.Linear(sum(widths), len(widths))

    def forward(self, *features: Tensor, present: Tensor | None = None) -> Tensor:
        given = [expert(*features, present=present) for expert in self.experts]
        weights = self.gate(torch.cat(given, 1)).softmax(1)
        mixed = torch.stack([layer(part) for layer, part in zip(self.out, given, strict=True)], 2)
        return zero_empty((mixed * weights.unsqueeze(1)).sum(2), present)


class TwiceConfig(Config):
    """Options of `encoder.twice`."""

    first: Inner = inner("encoder", description="The first encoder.")
    second: Inner = inner("encoder", default="encoder.dropout", description="What follows it.")


class Twice(nn.Module):
    """One encoder after another, built for what the first gives."""

    def __init__(self, config: TwiceConfig, inputs: Sequence[TensorShape]) -> None:
        super().__init__()
        self.first, self.second = config.first.module(inputs), config.second.module(_one(config.first, inputs))

    def forward(self, features: Tensor) -> Tensor:
        result: Tensor = self.second(self.first(features))
        return result


def _one(part: Inner, inputs: Sequence[TensorShape]) -> list[TensorShape]:
    given = part.output(inputs)
    if isinstance(given, Bundle):
        raise ComponentError(f"{part.use} gives several tensors", fix="use an encoder that gives one")
    return [given]


COMPONENTS = (
    Fusion("residual", ResidualConfig, Residual, rule="*features: B _", absent="drop",
           output=lambda config, inputs: _vector(config.fusion, inputs)),
    Fusion("mixture", MixtureConfig, Mixture, rule="*features: B _ -> B {width}", absent="drop"),
    Encoder("twice", TwiceConfig, Twice, rule="B _",
            output=lambda config, inputs: _one(config.second, _one(config.first, inputs))[0]),
)


def registry() -> Registry:
    """The installed components and these."""
    return discover(components=COMPONENTS)
