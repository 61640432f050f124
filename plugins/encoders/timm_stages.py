"""One stage of a timm network, so that other components can be placed between its stages.

Source: Wightman 2019, PyTorch Image Models, doi:10.5281/zenodo.4414861; for attention between the stages of any
network: Dhar et al. 2025, arXiv 2412.01248. Nodes for stage 0, 1, 2, ... in sequence are the network's encoder again.
"""
# Axes: B batch, c channels of the stage before, w of this one, h and w' sizes of the map.

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal

import torch
from fusionkit_plugins.encoders.timm import (
    DropPathRate,
    Pretrained,
    channel_statistics,
    check_name,
    check_reached,
    no_weights,
)
from pydantic import Field, NonNegativeInt
from torch import Tensor, nn

from fusionkit.api import ComponentError, Config, Encoder, Probes, TensorShape


class TimmStagesConfig(Config):
    """Options of `encoder.timm_stages`."""

    model: str = Field(examples=["resnet18"], description="Name of the model in timm, a sequence of stages such as "
                                                          "ResNets, ConvNeXts, DenseNets, RegNets and others.")
    stage: NonNegativeInt = Field(0, examples=[0], description="Which stage, from 0: the layers between one of timm's "
                                                               "feature maps and the next; 0 takes the image.")
    pretrained: Pretrained = False
    normalise: Literal["model", "none"] = Field(
        "model", description="For stage 0. model: expect an image in 0..1 and apply the mean and deviation that the "
                             "model was trained with; none: use the input as it is.")
    drop_path_rate: DropPathRate = 0.0


class TimmStage(nn.Module):
    """The layers of one stage.

    Shapes: (B, c, h, w'), for stage 0 the image; gives (B, w, ...). The state dict has timm's names with the prefix
    `stage.`, and `weights:` takes a file with timm's bare names too. Missing rows are skipped.

    Raises: ComponentError if timm does not know the model, it is not a sequence of stages, has no such stage, or the
    map does not have the channels that the stage takes.
    """

    mean: Tensor
    deviation: Tensor

    def __init__(self, config: TimmStagesConfig, inputs: Sequence[TensorShape]) -> None:
        super().__init__()
        network = _network(config, inputs[0])
        ends = list(network.return_layers)
        names = list(network)
        if config.stage >= len(ends):
            raise ComponentError(f"{config.model!r} has the stages 0 to {len(ends) - 1}, not {config.stage}",
                                 fix=f"write 'stage' as one of 0 to {len(ends) - 1}")
        wanted = network.feature_info.channels()[config.stage - 1]
        if config.stage and inputs[0].width != wanted:
            raise ComponentError(f"stage {config.stage} of {config.model!r} takes {wanted} channels, not "
                                 f"{inputs[0].width}", why="that is the output of the stage before it",
                                 fix=f"connect stage {config.stage - 1}, or put an `encoder.project` between")
        first = names.index(ends[config.stage - 1]) + 1 if config.stage else 0
        self.stage = nn.ModuleDict({name: network[name] for name in names[first:names.index(ends[config.stage]) + 1]})
        if config.stage == 0:
            mean, deviation = channel_statistics(network.pretrained_cfg, config.normalise, inputs[0].width)
            self.register_buffer("mean", torch.tensor(mean).reshape(-1, 1, 1))
            self.register_buffer("deviation", torch.tensor(deviation).reshape(-1, 1, 1))
        self.first = config.stage == 0

    def forward(self, features: Tensor) -> Tensor:
        """The map after the stage."""
        x = (features - self.mean) / self.deviation if self.first else features
        for layer in self.stage.values():
            x = layer(x)
        return x

    def adapt_weights(self, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """The tensors of a file under this module's names; of timm's bare names, those of this stage."""
        if any(name.startswith("stage.") for name in tensors):
            return dict(tensors)
        kept = {name: value for name, value in self.state_dict().items() if not name.startswith("stage.")}
        for name in self.stage.state_dict():
            layer, _, rest = name.partition(".")
            for bare in (name, f"{layer.replace('_', '.')}.{rest}"):
                if bare in tensors:
                    kept[f"stage.{name}"] = tensors[bare]
        return kept


def _network(config: TimmStagesConfig, shape: TensorShape) -> Any:
    """timm's network as a sequence of layers, with the ends of stages marked."""
    import timm
    from timm.models._features import FeatureListNet

    check_name(config.model)
    published = timm.get_pretrained_cfg(config.model)
    pretrained = config.pretrained and torch.get_default_device().type != "meta"
    options = {"drop_path_rate": config.drop_path_rate} if config.drop_path_rate else {}
    channels = {} if config.stage else {"in_chans": shape.width}
    try:
        if pretrained:
            check_reached(published)
        network = timm.create_model(config.model, pretrained=pretrained, features_only=True, **channels, **options)
    except OSError as error:
        if not pretrained:
            raise
        raise no_weights(config.model, published, error) from error
    except (AssertionError, TypeError, ValueError, RuntimeError, AttributeError) as error:
        raise ComponentError(f"timm cannot split {config.model!r} into stages", why=f"timm says: {error}",
                             fix="choose a convolutional network such as 'resnet18' or 'convnext_tiny'") from error
    if type(network) is not FeatureListNet:
        raise ComponentError(f"{config.model!r} is not a sequence of stages",
                             why=f"timm extracts its maps through {type(network).__name__}",
                             fix="choose a convolutional network such as 'resnet18' or 'convnext_tiny'")
    return network


component = Encoder("timm_stages", TimmStagesConfig, TimmStage, rule="B _ _ _ -> ?", category="image",
                    paper="doi:10.5281/zenodo.4414861", needs=("timm",),
                    probes=Probes(sizes=[((128, 12, 20),)], values={"stage": [3], "model": ["resnet34"]}))
