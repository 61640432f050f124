"""Wavelet fusion: images of one size become one, with the mean of their low bands and the strongest details.

Source: Mallat 1989, A theory for multiresolution signal decomposition: the wavelet representation,
doi:10.1109/34.192463; the rules are those of classic image fusion. The wavelet is Haar's.
The window of `high: local_energy`, 3 positions along each axis, is ours.
"""

# Axes: B batch, n detail bands, M inputs, c channels, ... the grid that all share, or that of a level.

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import torch
from fusionkit_plugins.blocks.haar import haar, inverse_haar, padded_to_even
from fusionkit_plugins.fusions.pixel_mean import scores_of, weighted_mean
from pydantic import Field, PositiveFloat
from torch import Tensor, nn
from torch.nn import functional as F

from fusionkit.api import Config, Fusion, TensorShape, at_least_single, fill_absent, softmax_present

WINDOW = 3


class WaveletConfig(Config):
    """Options of `fusion.wavelet`."""

    levels: int = Field(2, ge=1, le=3, description="Number of decomposition levels.")
    low: Literal["mean"] | list[PositiveFloat] = Field(
        "mean", examples=[[1.0, 3.0]], description="The low band of the result: 'mean' of those of the inputs; or a "
        "list with one fixed weight for each, which are divided by the sum over the present ones.")
    high: Literal["maxabs", "mean", "local_energy"] = Field(
        "maxabs", description="Each detail of the result: 'maxabs' the one with the largest absolute value; 'mean' of "
        "all; 'local_energy' that of the input with the largest sum of squares around it.")


class Wavelet(nn.Module):
    """Every input is decomposed into a low band and details, level by level; the fused bands are recomposed.

    With one input the result is that input, up to rounding.

    The images must be aligned in space, not only equal in size. Odd sizes are padded by one, mirrored, and cropped
    again. Nothing is learned. If a detail is selected, only its input gets the gradient; in a tie, the
    first is selected.

    Shapes: M maps (B, c, ...) of one spatial size; gives (B, c, ...).

    Missing inputs: they do not enter the means and the choice. Rows with nothing present give zeros.

    Raises: ComponentError if `low` is a list of another length than there are inputs.
    """

    low_scores: Tensor

    def __init__(self, config: WaveletConfig, inputs: Sequence[TensorShape]) -> None:
        super().__init__()
        self.levels, self.high = config.levels, config.high
        given = config.low if isinstance(config.low, list) else None
        self.register_buffer("low_scores", scores_of(given, len(inputs), "low"))

    def forward(self, *maps: Tensor, present: Tensor | None = None) -> Tensor:
        """The fused map."""
        # The transform acts on each channel separately, so those of all inputs are transformed together.
        low, fused = torch.cat(fill_absent(maps, present), 1), []
        for _ in range(self.levels):
            bands = haar(padded_to_even(low))
            details_BnMc = bands[:, 1:].unflatten(2, (len(maps), -1))
            fused.append((self._details(details_BnMc, present), low.shape[2:]))
            low = bands[:, 0]
        result = weighted_mean(low.chunk(len(maps), 1), softmax_present(self.low_scores.unsqueeze(0), present))
        for details, grid in reversed(fused):
            result = inverse_haar(torch.cat((result.unsqueeze(1), details), 1))
            for axis, size in enumerate(grid, 2):
                result = result.narrow(axis, 0, size)
        # A crop keeps the gaps of what it was cut from, and sums over it are rounded in another order than over a copy.
        return result.contiguous()

    def _details(self, details_BnMc: Tensor, present: Tensor | None) -> Tensor:
        """The fused details of one level, (B, n, c, ...); those of missing inputs are zeros, never selected."""
        if self.high == "mean":
            equal = softmax_present(torch.zeros_like(self.low_scores).unsqueeze(0), present)
            return weighted_mean(details_BnMc.unbind(2), equal)
        strengths = self._strengths(details_BnMc.detach())
        if present is not None:
            there = present.reshape(-1, 1, present.shape[1], *[1] * (details_BnMc.dim() - 3))
            strengths = strengths.where(there, -1.0)
        return details_BnMc.gather(2, strengths.argmax(2, keepdim=True)).squeeze(2)

    def _strengths(self, details_BnMc: Tensor) -> Tensor:
        if self.high == "maxabs":
            return details_BnMc.abs()
        rank = details_BnMc.dim() - 4
        squares = at_least_single(details_BnMc).square().flatten(1, 3)
        # Padded here: a pool's own padding does not help if the map is smaller than the window.
        bordered = F.pad(squares, [WINDOW // 2] * (2 * rank))
        pool = F.avg_pool2d if rank == 2 else F.avg_pool3d
        return pool(bordered, WINDOW, stride=1).unflatten(1, details_BnMc.shape[1:4])


component = Fusion(
    "wavelet", WaveletConfig, Wavelet, rule="*maps: B c ... -> B c ...",
    absent="drop", category="input", paper="doi:10.1109/34.192463", claims=("symmetric", "onnx"),
    exceptions={"symmetry: *low=*": "each input has its own weight"},
)
