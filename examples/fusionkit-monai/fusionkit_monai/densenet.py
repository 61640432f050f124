"""DenseNet of MONAI for images and volumes: the features of its last block, averaged over positions."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from fusionkit.api import ComponentError, Config, Encoder, Probes, TensorShape, Vector
from pydantic import Field, PositiveInt
from torch import Tensor, nn


class MonaiDenseNetConfig(Config):
    """Options of `encoder.monai_densenet`; the defaults are those of DenseNet-121."""
    growth: PositiveInt = Field(32, description="Features that each layer adds; the stem gives twice as many.")
    blocks: list[PositiveInt] = Field([6, 12, 24, 16], min_length=4, max_length=4, description="Layers of each block.")


class MonaiDenseNet(nn.Module):
    """Maps (B, c, ...) to features (B, width)."""

    def __init__(self, config: MonaiDenseNetConfig, inputs: Sequence[TensorShape]) -> None:
        from monai.networks.nets import DenseNet  # slow, so imported only by those who use it
        super().__init__()
        if min(inputs[0].spatial) < 29:
            raise ComponentError("its sides must be at least 29", str(inputs[0]), "resize the input")
        self.network = DenseNet(len(inputs[0].spatial), inputs[0].width, 1, 2 * config.growth, config.growth,
                                tuple(config.blocks)).features

    def forward(self, image: Tensor) -> Tensor:
        """The mean over positions, after the ReLU that MONAI counts to the classifier."""
        return torch.relu(self.network(image)).flatten(2).mean(2)


def _output(config: MonaiDenseNetConfig, inputs: Sequence[TensorShape]) -> TensorShape:
    with torch.device("meta"):
        return Vector((MonaiDenseNet(config, inputs).network.norm5.num_features,))


component = Encoder("monai_densenet", MonaiDenseNetConfig, MonaiDenseNet, rule="image: B _ ...", output=_output,
                    needs=("monai>=1.5",), paper="arXiv:1608.06993",
                    probes=Probes(sizes=[((1, 31, 37),), ((2, 29, 31, 37),)],
                                  together=[{"growth": 5, "blocks": [1, 2, 1, 1]}]))
