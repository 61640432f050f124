"""Stain: haematoxylin, eosin and the rest of a stained section, each made stronger or weaker.

Source: Tellez et al. 2018, doi:10.1109/TMI.2018.2820199; the colours of the stains are those of Ruifrok and Johnston
2001, Quantification of histochemical staining by color deconvolution.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np
import torch
from fusionkit_plugins.blocks.per_case import per_case
from fusionkit_plugins.blocks.ranges import FactorRange
from pydantic import Field, NonNegativeFloat
from torch import Tensor

from fusionkit.api import Draws, Floats, Transform, TransformConfig, TransformMethod

_DARKEST = 1 / 255


class StainConfig(TransformConfig):
    """Options of `transform.stain`."""

    factor: FactorRange = Field([0.95, 1.05], description="Smallest and largest factor of each stain.")
    shift: NonNegativeFloat = Field(0.01, description="Largest change of each stain beyond it, in optical density.")


class Stain(TransformMethod):
    """Colours of 0..1 are parted into optical densities of three stains, changed, and put together again."""

    config: StainConfig

    def draw(self, random: Draws) -> Mapping[str, float]:
        """A factor and a shift of each stain."""
        drawn = {}
        for stain in range(3):
            drawn[f"factor{stain}"] = random.between(*self.config.factor)
            drawn[f"shift{stain}"] = random.between(-self.config.shift, self.config.shift)
        return drawn

    def apply(self, values: Tensor, drawn: Mapping[str, Tensor], noise: Callable[[], Tensor]) -> Tensor:
        """The section with its other stains; what lies outside of 0..1 stays as far outside."""
        seen = values.clamp(_DARKEST, 1)
        density = seen.log().neg()
        changed = torch.zeros_like(density)
        for stain, (parts, colour) in enumerate(zip(_PARTS.T, _STAINS, strict=True)):
            amount = _mixed(density, parts)
            amount = amount * per_case(drawn[f"factor{stain}"], amount) + per_case(drawn[f"shift{stain}"], amount)
            changed = changed + torch.cat([amount * float(part) for part in colour], 1)
        return values + (changed.neg().exp() - seen)


def _mixed(values: Tensor, weights: Floats) -> Tensor:
    red, green, blue = values.split(1, 1)
    return red * float(weights[0]) + green * float(weights[1]) + blue * float(weights[2])


def _stains() -> Floats:
    """Red, green and blue of each stain of length 1, the third across the other two: (3, 3)."""
    first = np.array([0.65, 0.70, 0.29]) / np.linalg.norm([0.65, 0.70, 0.29])
    second = np.array([0.07, 0.99, 0.11]) / np.linalg.norm([0.07, 0.99, 0.11])
    third = np.cross(first, second)
    return np.stack([first, second, third / np.linalg.norm(third)])


_STAINS = _stains()
_PARTS: Floats = np.linalg.inv(_STAINS)
component = Transform("stain", StainConfig, Stain, channels=3, category="colour",
                      paper="doi:10.1109/TMI.2018.2820199")
