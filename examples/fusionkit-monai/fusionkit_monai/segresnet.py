"""Encoder of MONAI's SegResNet for images and volumes: its deepest map."""

from __future__ import annotations

from collections.abc import Sequence

from fusionkit.api import Config, Encoder, TensorShape, shape_of
from pydantic import Field, PositiveInt
from torch import Tensor, nn


class MonaiSegResNetConfig(Config):
    """Options of `encoder.monai_segresnet`."""
    stem: int = Field(8, ge=8, multiple_of=8, description="Channels of the first map; each further one has twice.")
    blocks: list[PositiveInt] = Field([1, 2, 2, 4], min_length=1, description="Residual blocks of each resolution.")


class MonaiSegResNet(nn.Module):
    """Maps (B, c, ...) to (B, width, .../2^(resolutions - 1)), halves rounded up."""

    def __init__(self, config: MonaiSegResNetConfig, inputs: Sequence[TensorShape]) -> None:
        from monai.networks.nets import SegResNet  # slow, so imported only by those who use it
        super().__init__()
        self.network = SegResNet(len(inputs[0].spatial), config.stem, inputs[0].width, blocks_down=tuple(config.blocks),
                                 blocks_up=(1,) * (len(config.blocks) - 1))
        # The decoder, which would get no gradient.
        self.network.up_layers = self.network.up_samples = self.network.conv_final = nn.ModuleList()

    def forward(self, image: Tensor) -> Tensor:
        """The deepest map."""
        return self.network.encode(image)[0]


def _output(config: MonaiSegResNetConfig, inputs: Sequence[TensorShape]) -> TensorShape:
    factor = 2 ** (len(config.blocks) - 1)
    return shape_of((config.stem * factor, *(-(-side // factor) for side in inputs[0].spatial)))


component = Encoder("monai_segresnet", MonaiSegResNetConfig, MonaiSegResNet, rule="image: B _ ...", output=_output,
                    needs=("monai>=1.5",), paper="arXiv:1810.11654")
