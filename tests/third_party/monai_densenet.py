"""DenseNet-121 of MONAI for images and volumes: features of a map."""

from __future__ import annotations

from collections.abc import Sequence

from monai.networks.nets import DenseNet121
from pydantic import Field, PositiveInt
from torch import Tensor, nn

from fusionkit.api import ComponentError, Config, Encoder, TensorShape

_SMALLEST = 32  # five times half


class MonaiDenseNetConfig(Config):
    """Options of `encoder.monai_densenet`."""

    width: PositiveInt = Field(64, description="Width of the result.")


class MonaiDenseNet(nn.Module):
    """One map (B, c, ...) to one vector (B, width)."""

    def __init__(self, config: MonaiDenseNetConfig, inputs: Sequence[TensorShape]) -> None:
        super().__init__()
        if min(inputs[0].spatial) < _SMALLEST:
            raise ComponentError(f"its sides must be at least {_SMALLEST}", str(inputs[0]), "resize the input")
        self.network = DenseNet121(len(inputs[0].spatial), inputs[0].width, config.width)

    def forward(self, image: Tensor) -> Tensor:
        """The result of the last linear layer."""
        return self.network(image)


component = Encoder("monai_densenet", MonaiDenseNetConfig, MonaiDenseNet, rule="image: B _ ... -> B {width}",
                    needs=("monai",), paper="arXiv:1608.06993")
