"""TIP: the tokens of a table attend to each other and to an image, block by block.

Source: Du et al. 2024, TIP: Tabular-Image Pre-training for Multimodal Classification with Incomplete Data, ECCV,
arXiv 2407.07582, and the release siyi-wind/TIP 9258cc25, Apache-2.0, to whose numbers it is held. Ours beside it:
tokens in place of a map, and what is missing. As there, tokens of blank cells are seen in this transformer.
"""
# Axes: B batch, t tokens of the table, k positions of the image, c channels, D width of the table's tokens.

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from fusionkit_plugins.blocks.tip_layers import BLOCK_NAMES, TipBlock, TipConfig, block_layout, read_blocks, start
from fusionkit_plugins.blocks.transformer import check_heads, valid_keys
from pydantic import Field
from torch import Tensor, nn

from fusionkit.api import Fusion, Release, Shape, TensorShape, Tokens, Vector, fill_absent, fill_padding, zero_empty


class TipFusionConfig(TipConfig):
    """Options of `fusion.tip`."""

    output: Literal["vector", "tokens"] = Field(
        "vector", description="vector: the first token, which is the summary of `encoder.tip_table`; tokens: all.")


class Tip(nn.Module):
    """`layers` times `x + attention(LN x)`, `x + attention(LN x, image)`, `x + W_2 gelu(W_1 LN x)`, and a last norm.

    The image is `LN(W image)` at each position, without a code of it. The width is that of the table's tokens.

    Shapes: a table (B, t, D), and an image or volume (B, c, ...) or tokens (B, k, c); gives (B, D), or (B, t, D).
    Costs (c + 5) D, and 16 D^2 + 14 D for each block, at four times the width.

    Missing inputs: without the image nothing is added for it; without the table its tokens are zeros, which still ask
    the image. `encoder.tip_table` gives a missing table tokens of blank cells. Padding is not attended to. Rows with
    nothing present give zeros.

    Raises: ComponentError if the heads do not divide the width.
    """

    def __init__(self, config: TipFusionConfig, inputs: Sequence[TensorShape]) -> None:
        super().__init__()
        width = inputs[0].width
        check_heads(width, config.heads)
        self.image, self.image_norm = nn.Linear(inputs[1].width, width), nn.LayerNorm(width)
        self.blocks = nn.ModuleList(TipBlock(config, width, asks=True) for _ in range(config.layers))
        self.norm = nn.LayerNorm(width)
        self.tokens = config.output == "tokens"
        start(self)

    def forward(self, table: Tensor, image: Tensor, present: Tensor | None = None,
                valid: Sequence[Tensor | None] | None = None) -> Tensor:
        """The first token, or all."""
        table_BtD, image_Bkc = self.streams(table, image, present, valid)
        asked_BkD, there_Bk = self.asked(image_Bkc, present, valid)
        x_BtD = zero_empty(self.refined(table_BtD, asked_BkD, there_Bk), present)
        return x_BtD if self.tokens else x_BtD[:, 0]

    @staticmethod
    def streams(table: Tensor, image: Tensor, present: Tensor | None, valid: Sequence[Tensor | None] | None
                ) -> tuple[Tensor, Tensor]:
        """The table's tokens and the image's positions, (B, t, D) and (B, k, c), zeros where there is nothing."""
        table_BtD, filled = fill_absent([table, image], present)
        image_Bkc = filled if filled.dim() == 3 else filled.flatten(2).transpose(1, 2)
        return table_BtD, fill_padding(image_Bkc, None if valid is None else valid[1])

    def asked(self, image_Bkc: Tensor, present: Tensor | None, valid: Sequence[Tensor | None] | None
              ) -> tuple[Tensor, Tensor]:
        """The image's tokens (B, k, D), and which of them are there (B, k)."""
        tokens: Tensor = self.image_norm(self.image(image_Bkc))
        return tokens, valid_keys([tokens], None if present is None else present[:, 1:2],
                                  None if valid is None else valid[1:2])

    def refined(self, x_BtD: Tensor, asked_BkD: Tensor, there_Bk: Tensor) -> Tensor:
        """The tokens after all blocks and the last norm."""
        for block in self.blocks:
            x_BtD = block(x_BtD, None, asked_BkD, there_Bk)
        normed: Tensor = self.norm(x_BtD)
        return normed


def output(config: TipFusionConfig, inputs: Sequence[TensorShape]) -> Shape:
    """A vector, or the tokens of the table."""
    table = inputs[0]
    return Tokens(table.sizes) if config.output == "tokens" else Vector((table.width,))


_NAMES = {"image": "image_proj", "image_norm": "image_norm", "norm": "norm", **BLOCK_NAMES}


component = Fusion(
    "tip", TipFusionConfig, Tip, rule="table: B _ _, image: B _ _... or B [_] _", output=output, absent="drop",
    category="attention", paper="arXiv:2407.07582",
    reference={"release": Release(
        names=_NAMES, layout=block_layout, read=read_blocks, options={"output": "tokens"},
        taps={f"block{place}": f"blocks.{place}" for place in range(8)})})
