"""Low resolution: a case shrunk by a factor and enlarged again, as from another scanner.

Source: Isensee et al. 2021, nnU-Net, doi:10.1038/s41592-020-01008-z, supplementary note 2.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import torch
from fusionkit_plugins.blocks.ranges import ShareRange
from pydantic import Field
from torch import Tensor
from torch.nn.functional import interpolate

from fusionkit.api import Draws, Transform, TransformConfig, TransformMethod, listed


class LowResolutionConfig(TransformConfig):
    """Options of `transform.low_resolution`."""

    factor: ShareRange = Field([0.5, 1.0], description="Smallest and largest share of the voxels along an axis.")


class LowResolution(TransformMethod):
    """Shrinks by averaging over areas, enlarges by linear interpolation; the sizes stay."""

    config: LowResolutionConfig

    def draw(self, random: Draws) -> Mapping[str, float]:
        """The factor."""
        return {"factor": random.between(*self.config.factor)}

    def apply(self, values: Tensor, drawn: Mapping[str, Tensor], noise: Callable[[], Tensor]) -> Tensor:
        """The coarser values."""
        mode = "bilinear" if values.dim() == 4 else "trilinear"
        sizes = values.shape[2:]
        made = []
        for case, factor in zip(values.split(1), listed(drawn["factor"]), strict=True):
            coarse = interpolate(case, [max(1, round(size * factor)) for size in sizes], mode="area")
            made.append(interpolate(coarse, list(sizes), mode=mode, align_corners=False))
        return torch.cat(made)


component = Transform("low_resolution", LowResolutionConfig, LowResolution, short="factor", category="intensity",
                      paper="doi:10.1038/s41592-020-01008-z")
