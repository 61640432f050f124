"""Bidirectional scale fusion (BSF): two vectors of two scales, summed and reweighted by their agreement.

Source: Yu et al., Small Lesions-aware Bidirectional Multimodal Multiscale Fusion Network for Lung Disease
Classification (MMCAF-Net), the BSF of its fusion.
The paper's figure concatenates the two reweighted vectors (`merge: concat`), the authors' code adds them.
"""
# Axes: B batch, w width.

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal

import torch
from pydantic import Field, PositiveInt
from torch import Tensor, nn

from fusionkit.api import Config, Fusion, Projections, Release, Shape, TensorShape, Vector


class BSFConfig(Config):
    """Options of `fusion.bsf`."""

    width: PositiveInt | None = Field(
        None, description="Width to which both vectors are projected; None is that of the first, the finer one.")
    merge: Literal["sum", "concat"] = Field(
        "sum", description="Whether the two reweighted vectors are added or concatenated.")


class BSF(nn.Module):
    """`(u + v) * (1 + softmax(u * v))` with u = P x, v = Q y; the softmax runs over the features.

    Shapes: a fine vector (B, c) and a coarse one (B, d); gives (B, w), or (B, 2 w) if concatenated.
    Costs c w + d w + 2 w.

    Missing inputs: u or v is zero, so the weights are equal and the other is scaled by 1 + 1/w.
    """

    def __init__(self, config: BSFConfig, inputs: Sequence[TensorShape]) -> None:
        super().__init__()
        self.concat = config.merge == "concat"
        self.project = Projections(inputs, config.width or inputs[0].width)

    def forward(self, fine: Tensor, coarse: Tensor, present: Tensor | None = None) -> Tensor:
        """The fused vector."""
        u_Bw, v_Bw = self.project([fine, coarse], present)
        factor_Bw = 1 + (u_Bw * v_Bw).softmax(1)
        if self.concat:
            return torch.cat([u_Bw * factor_Bw, v_Bw * factor_Bw], 1)
        return (u_Bw + v_Bw) * factor_Bw


RELEASE_NAMES = {"project.layers.0": "fc1x", "project.layers.1": "fc1y"}


def _output(config: BSFConfig, inputs: Sequence[TensorShape]) -> Shape:
    width = config.width or inputs[0].width
    return Vector((width * (2 if config.merge == "concat" else 1),))


def _read(shapes: Mapping[str, Sequence[int]], meta: Mapping[str, Any]) -> dict[str, Any]:
    return {"width": shapes["fc1x.weight"][0]}


component = Fusion(
    "bsf", BSFConfig, BSF, rule="fine: B _, coarse: B _", output=_output, absent="neutral", category="multiscale",
    reference={"release": Release(names=RELEASE_NAMES, read=_read)},
)
