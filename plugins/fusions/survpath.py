"""SurvPath: tokens of pathways attend to each other and to patches, and patches to pathways alone.

Source: Jaume et al. 2024, Modeling Dense Multimodal Interactions Between Biological Pathways and Histology for Survival
Prediction, CVPR, arXiv 2304.06819. The authors' release (mahmoodlab/SurvPath 3f73ddd6) is under the GPL: this is
written from its formulas, and held to numbers recorded from it. Its last two layers are a head's here. Departures: a
masked token has no weight, where the release multiplies it by zero and leaves it in the softmax; patches of a case
without pathways take their own values (`fallback`); the numbers that tell what is there (`availability`).
"""
# Axes: B batch, N patches, P tokens of all pathways, n both, h heads, e width of a head.

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Self

import torch
import torch.nn.functional as F
from fusionkit_plugins.blocks.gene_groups import BAG_AND_GROUPS, GroupTokens
from fusionkit_plugins.blocks.options import BlockDropout
from fusionkit_plugins.blocks.transformer import valid_keys
from pydantic import Field, PositiveInt, model_validator
from torch import Tensor, nn

from fusionkit.api import (
    Config,
    Fusion,
    Probes,
    Recorded,
    Release,
    Search,
    Shape,
    TensorShape,
    Vector,
    fill_absent,
    fill_padding,
    mean_valid,
)


class SurvPathConfig(Config):
    """Options of `fusion.survpath`."""

    width: Annotated[PositiveInt, Search((64, 128, 256))] = Field(
        256, ge=4, multiple_of=2, examples=[8], description="Width of the tokens; even, as attention gives half of it.")
    kernel: PositiveInt | None = Field(
        None, examples=[3], description="Size of a convolution over the values of neighbouring tokens, which is added "
                                        "to what is attended; odd. None adds nothing.")
    dropout: BlockDropout = 0.1
    group_dropout: BlockDropout = 0.25
    fallback: bool = Field(True, description="Whether patches of a case without any pathway take their own values; "
                                             "otherwise they have nothing to attend to, and its result is zeros.")
    availability: bool = Field(True, description="Whether to append two numbers, 1 where pathways, and where patches, "
                                                 "are there.")

    @model_validator(mode="after")
    def _has_a_middle(self) -> Self:
        if self.kernel is not None and self.kernel % 2 == 0:
            raise ValueError("'kernel' must be odd, so that a token stands in its middle")
        return self


class SurvPath(nn.Module):
    """`out_p = softmax over [pathways; patches]`, `out_h = softmax over pathways`; `LN(W_2 gelu(W_1 LN(out)))`; means.

    A group of genes is a vector, and becomes one token by a network of its own; or tokens, by one network for all of
    them. Patches are never compared with patches: the cost grows with P^2 + 2 P N, not with (P + N)^2.

    Shapes: a bag (B, N, c), masked or not, and groups (B, c) or (B, n, c), any number; gives (B, w), the mean of
    pathways and that of patches, (B, w + 2) with `availability`. Costs (c + 1) w for the bag, c w + w^2 + 2 w for a
    group, 2 w + 3 w^2 / 2 for the attention and w^2 / 2 + 3 w for what follows.

    Missing inputs, and padding of masked tokens: they are not attended to, and not in the means, which are zeros
    without any. Rows with nothing present give zeros.
    """

    def __init__(self, config: SurvPathConfig, inputs: Sequence[TensorShape]) -> None:
        super().__init__()
        width, half = config.width, config.width // 2
        self.patch = nn.Linear(inputs[0].width, width)
        self.groups = GroupTokens(inputs[1:], width, config.group_dropout)
        self.norm = nn.LayerNorm(width)
        self.attention = PathwayAttention(width, 1, half, config.kernel)
        self.feed_forward = nn.Sequential(nn.LayerNorm(half), nn.Linear(half, half), nn.GELU(),
                                          nn.Dropout(config.dropout), nn.Linear(half, half))
        self.last = nn.LayerNorm(half)
        self.fallback, self.availability = config.fallback, config.availability

    def forward(self, bag: Tensor, *groups: Tensor, present: Tensor | None = None,
                valid: Sequence[Tensor | None] | None = None) -> Tensor:
        """The means, and what is there."""
        filled = fill_absent([bag, *groups], present)
        masks = list(valid) if valid is not None else [None] * len(filled)
        patches_BNw = self.patch(fill_padding(filled[0], masks[0]))
        real_BN = valid_keys([patches_BNw], None if present is None else present[:, :1], masks[:1])
        paths_BPw, there_BP = self.groups(filled[1:], None if present is None else present[:, 1:], masks[1:])
        tokens_Bnw = self.norm(torch.cat([paths_BPw, patches_BNw], 1))
        valid_Bn = torch.cat([there_BP, real_BN], 1)
        found_Bnh = self.attention(tokens_Bnw, paths_BPw.shape[1], valid_Bn, self.fallback)
        found_Bnh = self.last(self.feed_forward(found_Bnh))
        paths_B1, patches_B1 = there_BP.any(1, keepdim=True), real_BN.any(1, keepdim=True)
        patches_B1 = patches_B1 if self.fallback else patches_B1 & paths_B1
        path_Bnh, patch_Bnh = found_Bnh.split([paths_BPw.shape[1], patches_BNw.shape[1]], 1)
        parts = [mean_valid(path_Bnh, there_BP), mean_valid(patch_Bnh, real_BN).where(patches_B1, 0.0)]
        if self.availability:
            parts += [paths_B1.to(parts[0].dtype), patches_B1.to(parts[0].dtype)]
        return torch.cat(parts, 1)


class PathwayAttention(nn.Module):
    """The first tokens attend to all, the others to the first alone; without bias and without a projection behind.

    With `kernel` a convolution of the values over neighbouring tokens is added, one for each head.

    Shapes: (B, n, w) of which the first P are pathways, and (B, n), True = valid; gives (B, n, h e). Costs 3 w h e, and
    a number for each head and place of the kernel.
    """

    def __init__(self, width: int, heads: int, head_width: int, kernel: int | None) -> None:
        super().__init__()
        self.heads = heads
        self.mix = nn.Linear(width, 3 * heads * head_width, bias=False)
        self.neighbours = None if kernel is None else nn.Conv2d(
            heads, heads, (kernel, 1), padding=(kernel // 2, 0), groups=heads, bias=False)

    def forward(self, tokens_Bnw: Tensor, paths: int, valid_Bn: Tensor, fallback: bool = True) -> Tensor:
        """The attended values; those of patches without a pathway are zeros, or with `fallback` their own."""
        query, key, value = (x.unflatten(2, (self.heads, -1)).transpose(1, 2)
                             for x in fill_padding(self.mix(tokens_Bnw), valid_Bn).chunk(3, 2))
        heard_Bp = valid_Bn[:, :paths]
        any_B1, some_B1 = valid_Bn.any(1, keepdim=True), heard_Bp.any(1, keepdim=True)
        # A softmax over nothing would be NaN. Such a row attends to tokens that are not there, whose values are zeros.
        asked = F.scaled_dot_product_attention(query[:, :, :paths], key, value,
                                               attn_mask=(valid_Bn | ~any_B1)[:, None, None])
        told = F.scaled_dot_product_attention(query[:, :, paths:], key[:, :, :paths], value[:, :, :paths],
                                              attn_mask=(heard_Bp | ~some_B1)[:, None, None])
        if fallback:
            told = told.where(some_B1[:, None, None], value[:, :, paths:])
        found_Bhne = torch.cat([asked, told], 2)
        if self.neighbours is not None:
            # Neighbours are tokens that are there: padding and missing pathways do not stand between them.
            order_Bn = valid_Bn.logical_not().to(torch.uint8).argsort(dim=1, stable=True)
            close_Bhne = self.neighbours(_in_order(value, order_Bn))
            found_Bhne = found_Bhne + _in_order(close_Bhne, order_Bn.argsort(1))
        return found_Bhne.transpose(1, 2).flatten(2)


def _in_order(value_Bhne: Tensor, order_Bn: Tensor) -> Tensor:
    return value_Bhne.gather(2, order_Bn[:, None, :, None].expand_as(value_Bhne))


def _output(config: SurvPathConfig, inputs: Sequence[TensorShape]) -> Shape:
    return Vector((config.width + 2 * config.availability,))


_NAMES = {
    "patch": "wsi_projection_net.0", "groups.networks.{i}.0": "sig_networks.{i}.0.0",
    "groups.networks.{i}.3": "sig_networks.{i}.1.0", "norm": "cross_attender.norm",
    "attention.mix": "cross_attender.attn.to_qkv", "feed_forward.0": "feed_forward.norm",
    "feed_forward.1": "feed_forward.net.0", "feed_forward.4": "feed_forward.net.3", "last": "layer_norm"}


def _sizes(inputs: Sequence[Sequence[int]], meta: Mapping[str, Any]) -> list[list[int]]:
    """Pathways of a single case are without the axis of cases there."""
    bag, *groups = meta["inputs"]
    return [list(bag[-2:]), *([size[-1]] for size in groups)]


def _replay(module: SurvPath, inputs: Sequence[Tensor], case: Recorded) -> Mapping[str, Tensor]:
    """The scores of its last two layers, which are a head's here."""
    bag, *groups = (x if x.dim() > 1 else x.unsqueeze(0) for x in inputs)
    mask = case.arrays.get("mask")
    joined = module(bag, *groups, valid=[None if mask is None else mask.bool(), *(None for _ in groups)])
    hidden = F.linear(joined, case.rest["to_logits.0.weight"], case.rest["to_logits.0.bias"]).relu()
    return {"logits": F.linear(hidden, case.rest["to_logits.2.weight"], case.rest["to_logits.2.bias"])}


component = Fusion(
    "survpath", SurvPathConfig, SurvPath, rule=BAG_AND_GROUPS, output=_output, absent="drop", category="attention",
    paper="arXiv:2304.06819", probes=Probes(values={"width": [6, 10]}),
    reference={"release": Release(
        names=_NAMES, read=lambda shapes, meta: {"width": shapes["wsi_projection_net.0.weight"][0]}, sizes=_sizes,
        replay=_replay, options={"fallback": False, "availability": False},
        taps={"attention": "attention", "feed_forward": "feed_forward", "norm": "last"})},
)
