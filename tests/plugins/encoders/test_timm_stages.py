"""`encoder.timm_stages`: its stages in sequence are timm's network, bit-identical; other networks are refused."""

from __future__ import annotations

import pytest
import timm
import torch
from fusionkit_plugins.encoders.timm_stages import TimmStage, TimmStagesConfig

from fusionkit.components.config import ComponentError
from fusionkit.network.weights import load_into
from fusionkit.shapes.layouts import Image

CHANNELS = {"resnet18": [64, 64, 128, 256, 512], "convnext_atto": [40, 80, 160, 320]}


def stage(model: str, number: int, channels: int) -> TimmStage:
    config = TimmStagesConfig(model=model, stage=number, normalise="none")
    return TimmStage(config, [Image((channels, 37, 45))]).eval()


@pytest.mark.parametrize("model", CHANNELS)
def test_stages_in_a_row_give_what_timm_gives_with_its_own_weights(model: str):
    torch.manual_seed(3)
    whole = timm.create_model(model).eval()
    x = torch.randn(2, 3, 64, 96)
    widths = CHANNELS[model]
    with torch.no_grad():
        wanted = whole.forward_intermediates(x, intermediates_only=True)
        assert [one.shape[1] for one in wanted] == widths
        for number, map_of_timm in enumerate(wanted):
            one = stage(model, number, 3 if number == 0 else widths[number - 1])
            load_into(one, one.adapt_weights(whole.state_dict()), "the stage")
            x = one(x)
            assert torch.equal(x, map_of_timm), number


@pytest.mark.parametrize(("model", "number", "channels", "said"), [
    ("vit_tiny_patch16_224", 0, 3, "not a sequence of stages|split"),
    ("resnet18", 5, 512, "stages 0 to 4, not 5"),
    ("resnet18", 2, 63, "takes 64 channels, not 63"),
])
def test_what_cannot_be_is_refused(model: str, number: int, channels: int, said: str):
    with pytest.raises(ComponentError, match=said):
        stage(model, number, channels)
