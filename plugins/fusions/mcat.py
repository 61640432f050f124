"""MCAT: groups of genes ask a bag of patches, and what they are told is pooled beside the genes themselves.

Source: Chen et al. 2021, Multimodal Co-Attention Transformer for Survival Prediction in Gigapixel Whole Slide Images,
ICCV. The authors' release (mahmoodlab/MCAT b9cca63b) is under the GPL: this is written from its formulas, and held to
numbers recorded from it. Their result for survival is `head.hazards` behind it. Departures: any number of groups, a
mask of patches, and what is missing, which the release cannot lack: a bag without genes is pooled by itself.
"""
# Axes: B batch, N patches, G tokens of all groups, d {width}.

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from fusionkit_plugins.blocks.gated_pool import GatedPool
from fusionkit_plugins.blocks.gene_groups import BAG_AND_GROUPS, GroupTokens
from fusionkit_plugins.blocks.options import BlockDropout
from fusionkit_plugins.blocks.transformer import Attention, LateNormBlock, check_heads, valid_keys
from pydantic import Field, PositiveInt
from torch import Tensor, nn

from fusionkit.api import Config, Fusion, Probes, Recorded, Release, TensorShape, fill_absent, fill_padding


class MCATConfig(Config):
    """Options of `fusion.mcat`."""

    width: PositiveInt = Field(256, examples=[8], description="Width of the tokens and of the result.")
    layers: PositiveInt = Field(2, le=1000, examples=[1], description="Transformer blocks over the tokens of groups.")
    heads: PositiveInt = Field(8, examples=[2], description="Number of their attention heads; must divide the width.")
    inside: PositiveInt = Field(512, examples=[16], description="Width inside their feed-forward layers.")
    dropout: BlockDropout = 0.25
    fallback: bool = Field(True, description="Whether a case without any group has its patches pooled by themselves; "
                                             "otherwise nothing asks them, and its result is zeros.")
    availability: bool = Field(True, description="Whether the last layers are told which of the two parts is there.")


class MCAT(nn.Module):
    """`c_g = softmax(q(o_g) k(h)^T / sqrt(d)) v(h)` of groups o and patches h; c and o each through a transformer.

    A group is a vector, and becomes one token by a network of its own; or tokens, by one network for all of them. Both
    transformers are post-norm; their results are pooled by gated attention, and joined by two layers with ReLU.

    Shapes: a bag (B, N, c), masked or not, and groups (B, c) or (B, n, c), any number; gives (B, d). Costs
    (c + 1) d for the bag, c d + d^2 + 2 d for a group, 4 d^2 + 4 d for the co-attention, for each of the two parts
    blocks of 4 d^2 + 2 d i + 9 d + i and a pool of 3 d^2 + 4 d, 3 d^2 + 2 d to join them, 2 d for `availability` and
    3 d^2 + 4 d for `fallback`.

    Missing inputs, and padding of masked tokens: a missing group neither asks nor is pooled. Without the bag the
    groups alone are pooled, without any group the patches. Rows with nothing present give zeros.

    Raises: ComponentError if the heads do not divide the width.
    """

    def __init__(self, config: MCATConfig, inputs: Sequence[TensorShape]) -> None:
        super().__init__()
        check_heads(config.width, config.heads)
        width = config.width
        self.patch = nn.Linear(inputs[0].width, width)
        self.groups = GroupTokens(inputs[1:], width, config.dropout)
        self.asking = Attention(width, 1)
        self.told, self.own = _Part(config), _Part(config)
        self.fallback = _Pooled(width, config.dropout) if config.fallback else None
        self.availability = config.availability
        self.join = nn.Sequential(nn.Linear(2 * width + 2 * config.availability, width), nn.ReLU(),
                                  nn.Linear(width, width), nn.ReLU())
        self.drop = nn.Dropout(config.dropout)

    def forward(self, bag: Tensor, *groups: Tensor, present: Tensor | None = None,
                valid: Sequence[Tensor | None] | None = None) -> Tensor:
        """The joined features."""
        patches_BNd, real_BN, tokens_BGd, there_BG = self._tokens(bag, groups, present, valid)
        bag_B1, genes_B1 = real_BN.any(1, keepdim=True), there_BG.any(1, keepdim=True)
        told_Bd = self.told(self.asking(tokens_BGd, patches_BNd, real_BN), there_BG & bag_B1)
        told_Bd, told_B1 = told_Bd.where(genes_B1 & bag_B1, 0.0), genes_B1 & bag_B1
        if self.fallback is not None:
            alone_Bd = self.fallback(patches_BNd, real_BN)
            told_Bd, told_B1 = told_Bd.where(genes_B1, alone_Bd.where(bag_B1, 0.0)), bag_B1
        parts = [told_Bd, self.own(tokens_BGd, there_BG).where(genes_B1, 0.0)]
        if self.availability:
            parts += [told_B1.to(told_Bd.dtype), genes_B1.to(told_Bd.dtype)]
        joined: Tensor = self.join(torch.cat(parts, 1))
        return joined.where(told_B1 | genes_B1, 0.0)

    def scores(self, bag: Tensor, *groups: Tensor, present: Tensor | None = None,
               valid: Sequence[Tensor | None] | None = None) -> Tensor:
        """What groups ask of patches, `q k / sqrt(d)` before the softmax, for reports: (B, G, N)."""
        patches_BNd, _, tokens_BGd, _ = self._tokens(bag, groups, present, valid)
        key_BNd = self.asking.key_value(patches_BNd).chunk(2, 2)[0]
        scores: Tensor = self.asking.query(tokens_BGd) @ key_BNd.transpose(1, 2) / key_BNd.shape[2] ** 0.5
        return scores

    def _tokens(self, bag: Tensor, groups: Sequence[Tensor], present: Tensor | None,
                valid: Sequence[Tensor | None] | None) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """The patches and which are real, the tokens of groups and which are there."""
        filled = fill_absent([bag, *groups], present)
        masks = list(valid) if valid is not None else [None] * len(filled)
        real_BN = valid_keys(filled[:1], None if present is None else present[:, :1], masks[:1])
        patches_BNd = self.drop(self.patch(fill_padding(filled[0], masks[0])).relu())
        tokens_BGd, there_BG = self.groups(filled[1:], None if present is None else present[:, 1:], masks[1:])
        return patches_BNd, real_BN, tokens_BGd, there_BG


class _Pooled(nn.Module):
    """Gated attention pooling and `relu(W y + b)`: (B, n, d) and (B, n), True = there, to (B, d)."""

    def __init__(self, width: int, dropout: float) -> None:
        super().__init__()
        self.pool = GatedPool(width, width, dropout=dropout)
        self.last = nn.Linear(width, width)
        self.drop = nn.Dropout(dropout)

    def forward(self, tokens_Bnd: Tensor, valid_Bn: Tensor) -> Tensor:
        """The pooled features."""
        pooled: Tensor = self.drop(self.last(self.pool(tokens_Bnd, valid_Bn)).relu())
        return pooled


class _Part(nn.Module):
    """Post-norm transformer blocks, then pooling: (B, G, d) and (B, G), True = there, to (B, d)."""

    def __init__(self, config: MCATConfig) -> None:
        super().__init__()
        self.blocks = nn.ModuleList(LateNormBlock(config.width, config.heads, config.inside, config.dropout)
                                    for _ in range(config.layers))
        self.pooled = _Pooled(config.width, config.dropout)

    def forward(self, tokens_BGd: Tensor, valid_BG: Tensor) -> Tensor:
        """The pooled features."""
        for block in self.blocks:
            tokens_BGd = block(tokens_BGd, valid_BG)
        pooled: Tensor = self.pooled(tokens_BGd, valid_BG)
        return pooled


_ATTENTION = {"query.weight": "in_proj_weight", "query.bias": "in_proj_bias", "key_value.weight": "in_proj_weight",
              "key_value.bias": "in_proj_bias", "join": "out_proj"}
_NAMES = {
    "patch": "wsi_net.0", "groups.networks.{i}.0": "sig_networks.{i}.0.0",
    "groups.networks.{i}.3": "sig_networks.{i}.1.0", "join.0": "mm.0", "join.2": "mm.2",
    **{f"asking.{ours}": f"coattn.{theirs}" for ours, theirs in _ATTENTION.items()},
    **{f"{part}.blocks.{{i}}.{ours}": f"{name}_transformer.layers.{{i}}.{theirs}"
       for part, name in (("told", "path"), ("own", "omic")) for ours, theirs in {
           **{f"attention.{ours}": f"self_attn.{theirs}" for ours, theirs in _ATTENTION.items()}, "norm": "norm1",
           "widen": "linear1", "narrow": "linear2", "norm_last": "norm2"}.items()},
    **{f"{part}.pooled.{ours}": f"{name}_{theirs}"
       for part, name in (("told", "path"), ("own", "omic")) for ours, theirs in {
           "pool.hidden": "attention_head.attention_a.0", "pool.gate": "attention_head.attention_b.0",
           "pool.score": "attention_head.attention_c", "last": "rho.0"}.items()}}


def _layout(name: str, tensor: Tensor) -> Tensor:
    """Queries, keys and values are one matrix there."""
    width = len(tensor) // 3
    if ".query." in name:
        return tensor[:width]
    return tensor[width:] if ".key_value." in name else tensor


def _read(shapes: Mapping[str, Sequence[int]], meta: Mapping[str, Any]) -> dict[str, Any]:
    return {"width": shapes["wsi_net.0.weight"][0], "inside": shapes["path_transformer.layers.0.linear1.weight"][0],
            "layers": sum(name.startswith("path_transformer") and name.endswith("norm1.bias") for name in shapes)}


def _sizes(inputs: Sequence[Sequence[int]], meta: Mapping[str, Any]) -> list[list[int]]:
    """A single case is without the axis of cases there."""
    bag, *groups = meta["inputs"]
    return [list(bag[-2:]), *([size[-1]] for size in groups)]


def _replay(module: MCAT, inputs: Sequence[Tensor], case: Recorded) -> Mapping[str, Tensor]:
    """The hazards of its last layer, which is a head's here; the scores of its pools have a shift in common."""
    bag, *groups = (x if x.dim() > 1 + (place == 0) else x.unsqueeze(0) for place, x in enumerate(inputs))
    mask = case.arrays.get("mask")
    valid = [None if mask is None else mask.bool(), *(None for _ in groups)]
    seen: dict[str, Tensor] = {}
    hooks = [part.pooled.pool.register_forward_pre_hook(
        lambda pool, given, name=name: seen.update({name: pool.scores(given[0])}))
        for name, part in (("path", module.told), ("omic", module.own))]
    joined = module(bag, *groups, valid=valid)
    for hook in hooks:
        hook.remove()
    hazards = nn.functional.linear(joined, case.rest["classifier.weight"], case.rest["classifier.bias"]).sigmoid()
    return {"hazards": hazards, "survival": (1 - hazards).cumprod(1), "mm": joined,
            "coattn_scores": module.scores(bag, *groups, valid=valid),
            **{f"{name}_scores": seen[name] + case.rest[f"{name}_attention_head.attention_c.bias"] for name in seen}}


component = Fusion(
    "mcat", MCATConfig, MCAT, rule=f"{BAG_AND_GROUPS} -> B {{width}}", absent="drop", category="attention",
    paper="doi:10.1109/ICCV48922.2021.00398",
    probes=Probes(values={"width": [6, 10]}),
    reference={"release": Release(
        names=_NAMES, layout=_layout, read=_read, sizes=_sizes, replay=_replay,
        options={"fallback": False, "availability": False}, taps={
            "coattn": "asking", "path_transformer": "told.blocks.1", "path_rho": "told.pooled",
            "omic_transformer": "own.blocks.1", "omic_rho": "own.pooled"})},
)
