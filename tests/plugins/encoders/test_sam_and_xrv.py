"""SAM's image encoder and torchxrayvision's DenseNet through timm, compared with recorded numbers of the originals."""

from __future__ import annotations

import json
from functools import partial
from pathlib import Path

import pytest
import torch
from fusionkit_plugins.encoders.timm import Timm, TimmConfig
from recorded import GOLDEN
from safetensors.torch import save_file
from timm.models.densenet import DenseNet
from timm.models.vision_transformer_sam import VisionTransformerSAM
from torch import Tensor, nn

from fusionkit.conversion.verification.reading import read_fixture
from fusionkit.pretrained.folder import WeightsFolder
from fusionkit.shapes.layouts import Image

SAM = {"img_size": 48, "patch_size": 4, "embed_dim": 16, "depth": 3, "num_heads": 4, "mlp_ratio": 2.0,
       "use_rel_pos": True, "window_size": 5, "global_attn_indexes": [2]}


def recorded(name: str) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    """The state under the names of the file, and every array of the fixture."""
    found = read_fixture(GOLDEN / "encoders" / f"{name}.npz")
    return dict(found.parameters), {**found.arrays, "input0": found.inputs[0]}


@pytest.fixture(scope="module")
def sam() -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    state, arrays = recorded("sam_encoder")
    return {name.replace("mlp.lin", "mlp.fc"): value for name, value in state.items()}, arrays


def test_the_map_of_sam_is_that_of_the_original(sam: tuple[dict[str, Tensor], dict[str, Tensor]]) -> None:
    state, arrays = sam
    network = VisionTransformerSAM(**SAM, norm_layer=partial(nn.LayerNorm, eps=1e-6), neck_chans=6, num_classes=0)
    network.load_state_dict(state)
    found = network.eval().forward_features(arrays["input0"])
    torch.testing.assert_close(found, arrays["out_map"], atol=1e-5, rtol=0)


def test_its_blocks_are_taps_of_a_folder(sam: tuple[dict[str, Tensor], dict[str, Tensor]], tmp_path: Path) -> None:
    state, arrays = sam
    (tmp_path / "config.json").write_text(json.dumps({"architecture": "samvit_base_patch16", "model_args": SAM}))
    save_file(state, tmp_path / "model.safetensors")
    config = TimmConfig(model="local", folder=WeightsFolder.at(tmp_path), features="taps", normalise="none")
    taps = Timm(config, [Image((3, 48, 48))]).eval()(arrays["input0"])
    for place, found in enumerate(taps):
        torch.testing.assert_close(found.permute(0, 2, 3, 1), arrays[f"tap_block{place}"], atol=1e-5, rtol=0)


def test_sam_takes_images_of_another_size_with_the_tensors_of_its_file(
        sam: tuple[dict[str, Tensor], dict[str, Tensor]], tmp_path: Path) -> None:
    """Positions are interpolated as it runs; a grey slice is summed filters of the three channels."""
    (tmp_path / "config.json").write_text(json.dumps({"architecture": "samvit_base_patch16", "model_args": SAM}))
    save_file(sam[0], tmp_path / "model.safetensors")
    config = TimmConfig(model="local", folder=WeightsFolder.at(tmp_path), features="taps", normalise="none")
    made = Timm(config, [Image((1, 32, 40))]).eval()
    assert [tuple(tap.shape) for tap in made(torch.rand(2, 1, 32, 40))] == [(2, 16, 8, 10)] * 3
    assert made.network.pos_embed.shape == (1, 12, 12, 16)


def test_xrv_is_timms_densenet() -> None:
    state, arrays = recorded("xrv_densenet")
    network = DenseNet(growth_rate=4, block_config=(2, 2, 2), bn_size=2, num_classes=0, in_chans=1)
    own = network.state_dict()
    counts = {name: value for name, value in own.items() if name.endswith("num_batches_tracked")}
    assert own.keys() - counts.keys() == {name for name in state if not name.startswith(("classifier", "op_threshs"))}
    network.load_state_dict({name: state[name] for name in own.keys() - counts.keys()} | counts)
    found = network.eval()(arrays["input0"])
    torch.testing.assert_close(found, arrays["out_pooled"], atol=1e-3, rtol=0)


def test_a_file_of_xrv_has_what_timms_densenet121_takes() -> None:
    with torch.device("meta"):
        made = Timm(TimmConfig(model="densenet121", normalise="none"), [Image((1, 224, 224))])
    assert sum(value.numel() for value in made.network.parameters()) == 6_947_584
    file = {**made.network.state_dict(), "classifier.weight": torch.zeros(18, 1024), "op_threshs": torch.zeros(18)}
    assert made.adapt_weights(file).keys() == made.state_dict().keys()
