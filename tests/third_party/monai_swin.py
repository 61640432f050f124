"""Encoder of MONAI's SwinUNETR for images and volumes: its deepest map."""

from __future__ import annotations

from collections.abc import Sequence

from monai.networks.nets.swin_unetr import SwinTransformer
from pydantic import Field
from torch import Tensor, nn

from fusionkit.api import ComponentError, Config, Encoder, TensorShape

_STRIDE = 32  # a patch of 2, then four times half


class MonaiSwinConfig(Config):
    """Options of `encoder.monai_swin`."""

    features: int = Field(24, ge=12, le=96, multiple_of=12, description="Channels after the first patches.")


class MonaiSwin(nn.Module):
    """One map (B, c, ...) to a map (B, 16 features, .../32)."""

    def __init__(self, config: MonaiSwinConfig, inputs: Sequence[TensorShape]) -> None:
        super().__init__()
        shape = inputs[0]
        if any(side % _STRIDE for side in shape.spatial):
            raise ComponentError(f"its sides must be multiples of {_STRIDE}", str(shape), "resize or pad the input")
        rank = len(shape.spatial)
        self.network = SwinTransformer(shape.width, config.features, [7] * rank, [2] * rank, (2, 2, 2, 2),
                                       (3, 6, 12, 24), spatial_dims=rank)

    def forward(self, image: Tensor) -> Tensor:
        """The last of its five maps."""
        return self.network(image)[-1]


def _output(config: MonaiSwinConfig, inputs: Sequence[TensorShape]) -> TensorShape:
    return type(inputs[0])((16 * config.features, *(side // _STRIDE for side in inputs[0].spatial)))


component = Encoder("monai_swin", MonaiSwinConfig, MonaiSwin, rule="image: B _ ...", output=_output,
                    needs=("monai",), paper="arXiv:2201.01266")
