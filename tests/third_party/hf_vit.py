"""ViT of Hugging Face: tokens of an image."""

from __future__ import annotations

from collections.abc import Sequence

from pydantic import Field, PositiveInt
from torch import Tensor, nn
from transformers import ViTConfig, ViTModel

from fusionkit.api import ComponentError, Config, Encoder, TensorShape, Tokens


class HfViTConfig(Config):
    """Options of `encoder.hf_vit`."""

    width: PositiveInt = Field(48, multiple_of=4, description="Width of the tokens.")
    patch: PositiveInt = Field(16, description="Side of a patch in pixels.")


class HfViT(nn.Module):
    """An image (B, c, h, w) to tokens (B, 1 + h w / patch^2, width)."""

    def __init__(self, config: HfViTConfig, inputs: Sequence[TensorShape]) -> None:
        super().__init__()
        shape = inputs[0]
        if any(side % config.patch for side in shape.spatial):
            raise ComponentError(f"its sides must be multiples of {config.patch}", str(shape), "resize the input")
        self.network = ViTModel(ViTConfig(
            hidden_size=config.width, num_hidden_layers=2, num_attention_heads=4, intermediate_size=4 * config.width,
            image_size=shape.spatial, patch_size=config.patch, num_channels=shape.width), add_pooling_layer=False)

    def forward(self, image: Tensor) -> Tensor:
        """The last hidden state."""
        return self.network(image).last_hidden_state


def _output(config: HfViTConfig, inputs: Sequence[TensorShape]) -> TensorShape:
    rows, columns = (side // config.patch for side in inputs[0].spatial)
    return Tokens((1 + rows * columns, config.width))


component = Encoder("hf_vit", HfViTConfig, HfViT, rule="image: B _ _ _", output=_output, needs=("transformers",),
                    paper="arXiv:2010.11929")
