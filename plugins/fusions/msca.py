"""Multiscale cross-attention (MSCA): inputs attend to each other at several widths, combined into one vector.

Source: Yu et al., Small Lesions-aware Bidirectional Multimodal Multiscale Fusion Network for Lung Disease
Classification (MMCAF-Net), its fusion. Designed for two vectors; more inputs, tokens and missing inputs are ours.
The text reduces step by step (`chain: true`), the authors' code computes each coarser scale from the first one.
The paper's figure ends with a concatenation (`merge: concat`), the authors' code with a sum.
"""
# Axes: B batch, M streams, n tokens of a stream, E width of a scale.

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from functools import reduce
from itertools import pairwise
from typing import Any, Literal

import torch
from fusionkit_plugins.blocks.options import StreamNorm, stream_width
from fusionkit_plugins.fusions.bsf import BSF, BSFConfig
from fusionkit_plugins.fusions.bsf import RELEASE_NAMES as BSF_NAMES
from fusionkit_plugins.fusions.msca_attention import RELEASE_NAMES as ATTENTION_NAMES
from fusionkit_plugins.fusions.msca_attention import AttentionBlock, advice_of_all, as_tokens, ask
from pydantic import Field, PositiveInt, model_validator
from torch import Tensor, nn

from fusionkit.api import (
    Config,
    FeatureNorm,
    Fusion,
    PresentBatchNorm,
    Release,
    Shape,
    TensorShape,
    Tokens,
    Vector,
    fill_absent,
    joined_shape,
    zero_empty,
)


class MSCAConfig(Config):
    """Options of `fusion.msca`."""

    width: PositiveInt | None = stream_width("the first scale and of the result")
    scales: PositiveInt = Field(3, le=30, description="Number of scales; 1 is plain cross-attention.")
    scale_widths: list[PositiveInt] | None = Field(
        None, description="Widths of the scales after the first; None halves the width from each to the next.")
    heads: list[PositiveInt] = Field(
        [4, 2], min_length=1, description="Attention heads at each scale, the last for all further ones; if they do "
        "not divide a width, the largest smaller number that does.")
    norm: StreamNorm = "batch"
    dropout: float = Field(0.5, ge=0, lt=1, description="Probability of dropping a feature of a coarser scale.")
    chain: bool = Field(False, description="Whether each scale is computed from the previous one instead of the first.")
    merge: Literal["sum", "concat"] = Field(
        "sum", description="How the two finest results are combined: added or concatenated.")

    @model_validator(mode="after")
    def _widths_fit(self) -> MSCAConfig:
        if self.scale_widths is not None and len(self.scale_widths) != self.scales - 1:
            raise ValueError(f"'scale_widths' has {len(self.scale_widths)} entries; {self.scales} scales need "
                             f"{self.scales - 1}, one for each after the first")
        return self


class MSCA(nn.Module):
    """At every scale s each input attends to the others, with mean result z_s; then y_s = BSF(z_s, y_s+1).

    Scale 0 is the normalised inputs; coarser ones are reductions of it, the same for all inputs, plus a projection of
    each input's result one scale up. The result is y_0.

    Shapes: inputs (B, c_m) or (B, n_m, c_m), a vector being one token; gives (B, E), or (B, 2 E) if concatenated. z_s
    is the mean over tokens, then over inputs.

    With two vectors, attention has a single key and is 1: `query` and `key` learn nothing, unlike with tokens or a
    third input.

    Missing inputs: a missing input is not attended to and does not enter the mean or the norms' statistics. A single
    present input passes every attention unchanged.
    """

    def __init__(self, config: MSCAConfig, inputs: Sequence[TensorShape]) -> None:
        super().__init__()
        widths = _widths(config, inputs)
        self.chain = config.chain
        self.project = nn.ModuleDict({str(m): nn.Linear(shape.width, widths[0]) for m, shape in enumerate(inputs)
                                      if shape.width != widths[0]})
        norms = {"batch": PresentBatchNorm, "layer": FeatureNorm}
        self.norms = nn.ModuleList(norms[config.norm](Tokens((1, widths[0]))) for _ in inputs)
        self.attention = nn.ModuleList(AttentionBlock(width, width, _heads(config.heads, scale, width))
                                       for scale, width in enumerate(widths))
        finer = widths[:-1] if config.chain else widths[:1] * (len(widths) - 1)
        self.reduce = nn.ModuleList(
            nn.Sequential(nn.Linear(before, after), nn.ReLU(), nn.Dropout(config.dropout))
            for before, after in zip(finer, widths[1:], strict=True))
        self.carry = nn.ModuleList(nn.ModuleList(nn.Linear(before, after) for _ in inputs)
                                   for before, after in pairwise(widths))
        self.blend = nn.ModuleList()
        for scale in reversed(range(len(widths) - 1)):
            merge = config.merge if scale == 0 else "sum"
            self.blend.append(BSF(BSFConfig(merge=merge), [Vector((widths[scale],)), Vector((widths[scale + 1],))]))

    def forward(self, first: Tensor, *others: Tensor, present: Tensor | None = None) -> Tensor:
        """The fused vector."""
        streams = made = self._normed([first, *others], present)
        answers: list[Tensor] = []
        means: list[Tensor] = []
        for scale, block in enumerate(self.attention):
            if scale > 0:
                made = [self.reduce[scale - 1](x) for x in (made if self.chain else streams)]
                asking = [x + carry(answer) for x, carry, answer
                          in zip(made, self.carry[scale - 1], answers, strict=True)]
            else:
                asking = streams
            answers = [ask(block, m, asking, present) for m in range(len(asking))]
            means.append(_mean(answers, present))
        result = reduce(lambda coarse, pair: pair[0](pair[1], coarse),
                        zip(self.blend, reversed(means[:-1]), strict=True), means[-1])
        return zero_empty(result, present)

    def _normed(self, features: Sequence[Tensor], present_BM: Tensor | None) -> list[Tensor]:
        normed = []
        for m, x in enumerate(fill_absent(features, present_BM)):
            tokens = as_tokens(self.project[str(m)](x) if str(m) in self.project else x)
            norm = self.norms[m]
            is_batch = isinstance(norm, PresentBatchNorm)
            normed.append(norm(tokens, None if present_BM is None else present_BM[:, m]) if is_batch else norm(tokens))
        return normed


def _mean(answers: Sequence[Tensor], present_BM: Tensor | None) -> Tensor:
    """The mean over tokens, then over the present inputs: (B, E)."""
    means = fill_absent([answer.mean(1) for answer in answers], present_BM)
    total = reduce(torch.add, means)
    if present_BM is None:
        return total / len(means)
    return total / present_BM.sum(1, keepdim=True).clamp(min=1).to(total.dtype)


def _widths(config: MSCAConfig, inputs: Sequence[TensorShape]) -> list[int]:
    """The widths of all scales.

    Raises: ComponentError if `width` is None and the inputs have different widths.
    """
    width = joined_shape(config, inputs).width
    if config.scale_widths is not None:
        return [width, *config.scale_widths]
    return [max(1, width // 2**scale) for scale in range(config.scales)]


def _heads(asked: Sequence[int], scale: int, width: int) -> int:
    most = asked[min(scale, len(asked) - 1)]
    return max(heads for heads in range(1, most + 1) if width % heads == 0)


def _output(config: MSCAConfig, inputs: Sequence[TensorShape]) -> Shape:
    width = _widths(config, inputs)[0]
    return Vector((width * (2 if config.merge == "concat" and config.scales > 1 else 1),))


RULE = ("first: B _, *others: B _ | first: B _ _, *others: B _ _ | first: B _ _, *others: B _ "
        "| first: B _, *others: B _ _")


def release_names(scales: int) -> dict[str, str]:
    """The authors' names of the parameters; it counts scales from 1."""
    names = {"norms.0": "norm_img", "norms.1": "norm_tab"}
    for scale in range(scales):
        names |= {f"attention.{scale}.{ours}": f"cross_attention{scale + 1}.{theirs}"
                  for ours, theirs in ATTENTION_NAMES.items()}
    for step in range(scales - 1):
        names[f"reduce.{step}"] = f"down{step + 1}"
        names |= {f"carry.{step}.0": f"sample_img{step + 1}", f"carry.{step}.1": f"sample_tab{step + 1}"}
        names |= {f"blend.{step}.{ours}": f"SF{step + 1}.{theirs}" for ours, theirs in BSF_NAMES.items()}
    return names


def _read(shapes: Mapping[str, Sequence[int]], meta: Mapping[str, Any]) -> dict[str, Any]:
    found = {name: shape[0] for name, shape in shapes.items() if re.search(r"attention\d+\.q_proj\.weight$", name)}
    widths = [found[name] for name in sorted(found)]
    return {"width": widths[0], "scales": len(widths), "scale_widths": widths[1:]}


component = Fusion(
    "msca", MSCAConfig, MSCA, rule=RULE, output=_output, absent="drop", category="multiscale",
    advice=advice_of_all,
    reference={"release": Release(
        names=lambda config: release_names(config.scales), read=_read,
        taps={f"attn{scale + 1}": f"attention.{scale}" for scale in range(8)}
        | {f"bsf{step + 1}": f"blend.{step}" for step in range(8)})},
)
