"""Plain cross-attention, MSCA at a single scale: inputs attend to each other, and the mean is the result.

Source: Yu et al., Small Lesions-aware Bidirectional Multimodal Multiscale Fusion Network for Lung Disease
Classification (MMCAF-Net), the row "Cross-Attention" of its Table 3.
"""
# Axes: B batch, n tokens of a stream, E width.

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from fusionkit_plugins.blocks.options import StreamNorm, stream_width
from fusionkit_plugins.fusions.msca import MSCA, RULE, MSCAConfig, release_names
from fusionkit_plugins.fusions.msca_attention import advice_of_all
from pydantic import Field, PositiveInt

from fusionkit.api import Config, Fusion, Release, Shape, TensorShape, Vector, joined_shape


class SimpleFuseConfig(Config):
    """Options of `fusion.simple_fuse`."""

    width: PositiveInt | None = stream_width("the result")
    heads: PositiveInt = Field(
        4, description="Attention heads; if they do not divide the width, the largest smaller number that does.")
    norm: StreamNorm = "batch"


class SimpleFuse(MSCA):
    """The mean of `a + attention(a, t)` and `t + attention(t, a)`, the same attention for all, of normalised inputs.

    Shapes: inputs (B, c_m) or (B, n_m, c_m), a vector being one token; gives (B, E).

    Missing inputs: as in `fusion.msca`.
    """

    def __init__(self, config: SimpleFuseConfig, inputs: Sequence[TensorShape]) -> None:
        super().__init__(MSCAConfig(width=config.width, scales=1, heads=[config.heads], norm=config.norm), inputs)


def _output(config: SimpleFuseConfig, inputs: Sequence[TensorShape]) -> Shape:
    return Vector((joined_shape(config, inputs).width,))


def _read(shapes: Mapping[str, Sequence[int]], meta: Mapping[str, Any]) -> dict[str, Any]:
    return {"width": shapes["norm_img.weight"][0]}


component = Fusion(
    "simple_fuse", SimpleFuseConfig, SimpleFuse, rule=RULE, output=_output, absent="drop", category="attention",
    advice=advice_of_all, reference={"release": Release(names=release_names(1), read=_read)},
)
