"""FiLM: a table scales and shifts the channels of an image, independently of the image.

Source: Perez et al. 2018, FiLM: Visual Reasoning with a General Conditioning Layer, arXiv 1709.07871, eq. 1-2, here
with a bottleneck and without biases, as Poelsterl et al. 2021, arXiv 2107.05990, compare it with DAFT.
That comparison has no `1 +` in the scale (`residual: false`), unlike the paper.
"""
# Axes: B batch, c channels, p columns of the table, n tokens, ... spatial axes of a map.

from __future__ import annotations

from typing import ClassVar

from fusionkit_plugins.fusions.daft import DAFT, PROBES, ModulationConfig, modulated_shape, modulation_rule, release

from fusionkit.api import Fusion


class FiLMConfig(ModulationConfig):
    """Options of `fusion.film`."""


class FiLM(DAFT):
    """`a * image + b` in each channel, `[a; b] = W_2 relu(W_1 table)`, optionally in a residual block.

    Shapes: an image (B, c, ...), tokens (B, n, c) or a vector (B, c), and a table (B, p); gives that of the image, or
    that of the residual block, which takes maps only. Costs p bottleneck + 2 c bottleneck.

    Raises: ComponentError if a block is requested and the first input is not a map.
    """

    sees_image: ClassVar[bool] = False


component = Fusion(
    "film", FiLMConfig, FiLM, rule=modulation_rule, output=modulated_shape, absent="identity",
    category="single-level", paper="arXiv:1709.07871", reference={"release": release},
    probes=PROBES,
)
