"""Every recorded case of MMCAF-Net, PENet and the baselines, computed again within its tolerance."""

from __future__ import annotations

import pytest
from recorded import GOLDEN

from fusionkit.conversion.verification import check

FOLDER = GOLDEN / "mmcaf"
# File to component id or graph, with the options that the file cannot tell.
CASES: dict[str, tuple[str, ...]] = {
    "bfpu3d_16": ("fusion.bfpu",),
    "bfpu3d_16_same_size": ("fusion.bfpu",),
    "bsf_24": ("fusion.bsf",),
    "cab_32": ("encoder.cab",),
    "cab_8": ("encoder.cab",),
    "clip_loss": ("fusion.clip_align",),
    "cross_attention_24": ("fusion.msca_attention",),
    "cross_attention_tokens": ("fusion.msca_attention",),
    "daft_block_loc0": ("fusion.daft",),
    "daft_block_loc3": ("fusion.daft",),
    "daft_block_loc4": ("fusion.daft",),
    "daft_block_scale_sigmoid": ("fusion.daft",),
    "daft_block_shift_only": ("fusion.daft",),
    "daft_net": ("fusion.daft_net",),
    "dcfb_16_16": ("encoder.dcfb",),
    "dcfb_16_16_serial": ("encoder.dcfb",),
    "dcfb_16_16_stride2": ("encoder.dcfb",),
    "dcfb_16_24_concat": ("encoder.dcfb",),
    "drfuse_head": ("fusion.drfuse",),
    "drfuse_jsd": ("fusion.drfuse",),
    "e3d_msca_32": ("encoder.e3d_msca",),
    "film_block_loc0": ("fusion.film",),
    "focal_loss": ("head.classify",),
    "img_encoder_12x192x192": ("mmcaf-net-image",),
    "img_encoder_12x64x64": ("mmcaf-net-image",),
    "kan_5_6_g8_k2": ("encoder.kan",),
    "kan_7_24": ("encoder.kan",),
    "kan_basis": ("encoder.kan",),
    "kan_coef_fit": ("encoder.kan",),
    "kan_grid_update": ("encoder.kan",),
    "medfuse_lstm": ("fusion.medfuse",),
    "mmtm_8_12": ("fusion.mmtm",),
    "mmtm_8_6_maps": ("fusion.mmtm",),
    "multiscale_fusion_24": ("fusion.msca",),
    "pefusion_joint": ("fusion.pefusion",),
    "penet50_12x64x64": ("encoder.penet",),
    "penet_aspp": ("encoder.aspp",),
    "penet_bottleneck_identity": ("encoder.penet_bottleneck",),
    "penet_bottleneck_s2": ("encoder.penet_bottleneck",),
    "penet_classifier50_12x64x64": ("encoder.penet",),
    "penet_decoder": ("encoder.penet_decoder",),
    "sab_3": ("encoder.sab",),
    "sab_7": ("encoder.sab",),
    "se_32": ("encoder.se",),
    "simple_fuse_24": ("fusion.simple_fuse",),
    "ucb_16": ("encoder.ucb",),
}
SLOW = {"img_encoder_12x192x192"}  # over ten seconds: the whole image encoder, on the volume that the release reads


@pytest.mark.parametrize("name", [pytest.param(name, marks=pytest.mark.slow if name in SLOW else ()) for name in CASES])
def test_the_release_is_computed_again(name: str):
    target, *options = CASES[name]
    found = check(target, FOLDER / f"{name}.npz", options=options)
    assert found.ok, [row for row in found.rows if not row.ok]
    left_out = [row.entry for row in found.rows if row.note and not row.entry.endswith("coef32")]
    assert not left_out, "recorded, and not compared"


def test_every_file_is_compared():
    assert {path.stem for path in FOLDER.glob("*.npz")} == CASES.keys()
