"""Sharpening: what a blur by one voxel takes away is added, by a share drawn for the case."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import torch
from fusionkit_plugins.blocks.gaussian import blurred
from fusionkit_plugins.blocks.per_case import per_case
from fusionkit_plugins.blocks.ranges import Range
from pydantic import Field
from torch import Tensor

from fusionkit.api import Draws, Transform, TransformConfig, TransformMethod


class SharpenConfig(TransformConfig):
    """Options of `transform.sharpen`."""

    share: Range = Field([0.1, 0.5], description="Smallest and largest share that is added.")


class Sharpen(TransformMethod):
    """Edges overshoot; noise grows with them."""

    config: SharpenConfig

    def draw(self, random: Draws) -> Mapping[str, float]:
        """The share."""
        return {"share": random.between(*self.config.share)}

    def apply(self, values: Tensor, drawn: Mapping[str, Tensor], noise: Callable[[], Tensor]) -> Tensor:
        """The sharpened values."""
        fine = values - blurred(values, torch.ones_like(drawn["share"]), 1.0)
        return values + fine * per_case(drawn["share"], values)


component = Transform("sharpen", SharpenConfig, Sharpen, short="share", category="intensity")
