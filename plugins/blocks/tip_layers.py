"""The transformer blocks of TIP, and how their weights begin. Contains no component.

Source: Du et al. 2024, TIP: Tabular-Image Pre-training for Multimodal Classification with Incomplete Data, ECCV,
arXiv 2407.07582, and the release siyi-wind/TIP 9258cc25, Apache-2.0.
"""
# Axes: B batch, t tokens, k tokens that are asked, D their width.

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from fusionkit_plugins.blocks.options import BlockDropout
from fusionkit_plugins.blocks.transformer import START, Attention, FeedForward
from pydantic import Field, PositiveInt
from torch import Tensor, nn

from fusionkit.api import Config


class TipConfig(Config):
    """Options of the transformers of TIP."""

    layers: PositiveInt = Field(4, le=100, examples=[2], description="Number of transformer blocks.")
    heads: PositiveInt = Field(8, examples=[2], description="Number of attention heads, which must divide the width.")
    expansion: PositiveInt = Field(4, le=64, description="Width inside the feed-forward layers, in multiples of the "
                                                         "width of the tokens.")
    dropout: BlockDropout = 0.0


class TipBlock(nn.Module):
    """`x + attention(LN x)`, with `asks` `x + attention(LN x, y)`, then `x + W_2 gelu(W_1 LN x)`.

    Shapes: (B, t, D); `seen` (B, t, t) or None, True = the second axis is seen by the first; with `asks` y (B, k, D)
    and (B, k), True = attended to, and nothing is added where there is none. Gives (B, t, D). Costs 12 D^2 + 10 D at
    four times the width, with `asks` 4 D^2 + 4 D more.
    """

    def __init__(self, config: TipConfig, width: int, asks: bool = False) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(width)
        self.attention = Attention(width, config.heads, bias=False)
        self.norm_asking = nn.LayerNorm(width) if asks else None
        self.asking = Attention(width, config.heads, key_bias=False) if asks else None
        self.feed_forward = FeedForward(width, config.expansion)
        self.drop = nn.Dropout(config.dropout)

    def forward(self, x_BtD: Tensor, seen_Btt: Tensor | None = None, asked_BkD: Tensor | None = None,
                valid_Bk: Tensor | None = None) -> Tensor:
        """The refined tokens."""
        normed = self.norm(x_BtD)
        x_BtD = x_BtD + self.drop(self.attention(normed, normed, seen_Btt))
        if self.asking is not None and self.norm_asking is not None:
            x_BtD = x_BtD + self.drop(self.asking(self.norm_asking(x_BtD), asked_BkD, valid_Bk))
        refined: Tensor = x_BtD + self.drop(self.feed_forward(x_BtD))
        return refined


def start(module: nn.Module) -> None:
    """Set what TIP begins with: linear layers and embeddings normal with deviation 0.02, biases zero."""
    for layer in module.modules():
        if isinstance(layer, nn.Linear | nn.Embedding):
            nn.init.normal_(layer.weight, std=START)
        if isinstance(layer, nn.Linear) and layer.bias is not None:
            nn.init.zeros_(layer.bias)


def learned(*sizes: int) -> nn.Parameter:
    """Parameters that begin with deviation 0.02, cut off at two units, as TIP's tokens do."""
    return nn.Parameter(nn.init.trunc_normal_(torch.empty(*sizes), std=START))


BLOCK_NAMES: Mapping[str, str] = {
    f"blocks.{{i}}.{ours}": f"transformer_blocks.{{i}}.{theirs}" for ours, theirs in {
        "norm": "norm1", "attention.query": "attn.qkv", "attention.key_value": "attn.qkv",
        "attention.join": "attn.proj", "norm_asking": "cross_norm", "asking.query": "cross_attn.q_proj",
        "asking.key_value": "cross_attn.kv_proj", "asking.join": "cross_attn.proj",
        "feed_forward.0": "norm2", "feed_forward.1": "mlp.fc1", "feed_forward.3": "mlp.fc2"}.items()}
"""Prefixes of names in a block, here and in the release."""


def block_layout(name: str, tensor: Tensor) -> Tensor:
    """Of the release's one matrix for queries, keys and values the part that is ours."""
    third = len(tensor) // 3
    if name.endswith(".attention.query.weight"):
        return tensor[:third]
    return tensor[third:] if name.endswith(".attention.key_value.weight") else tensor


def read_blocks(shapes: Mapping[str, Sequence[int]], meta: Mapping[str, Any]) -> dict[str, Any]:
    """The options of the blocks that a checkpoint of the release tells; heads only beside it."""
    inside, width = shapes["transformer_blocks.0.mlp.fc1.weight"]
    return {"expansion": inside // width, "heads": meta.get("constructor", {}).get("heads", 8),
            "layers": len({name.split(".")[1] for name in shapes if name.startswith("transformer_blocks.")})}
