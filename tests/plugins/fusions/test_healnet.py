"""HEALNet: the numbers of the release, inputs of several layouts, what is missing, padded or in another order."""

from __future__ import annotations

import re
from typing import Any

import pytest
import torch
from fusionkit_plugins.fusions.healnet import HEALNet, HEALNetConfig, _Attention, component, position_code
from recorded import GOLDEN
from torch import Tensor, nn

from fusionkit.conversion.verification.case import Fixture
from fusionkit.conversion.verification.reading import read_fixture
from fusionkit.shapes.layouts import MaskedTokens, Vector, shape_of

FOLDER = GOLDEN / "methods" / "healnet"
ROWS = [("fusion.healnet", {"width": 8, "latents": 3, "depth": 2, "cross_heads": 2, "cross_head_width": 3, "heads": 2,
                            "head_width": 3}, [(5,), (11, 7), (2, 3, 5, 7)])]
SMALL = {"width": 8, "latents": 3, "depth": 2, "cross_heads": 2, "cross_head_width": 4, "heads": 2, "head_width": 4}
RECORDED: dict[str, dict[str, Any]] = {
    "table_image": {}, "no_self_attention": {"self_attention": False}, "second_absent_verbose": {}, "rows_absent": {},
    "table_image_tied": {"depth": 3, "tie": "release"},
    "table_image_gelu_nofourier": {"depth": 1, "positions": "none", "activation": "gelu"},
}
PARTS = {"norm": "norm", "norm_asked": "norm_context", "query": "fn.to_q", "key_value": "fn.to_kv",
         "join": "fn.to_out.0", "widen": "fn.net.0", "narrow": "fn.net.2"}
MODALITIES = 2


def released(name: str, tied: bool) -> str:
    """The release's name of a parameter; of tied ones that of the last, which decides the recorded numbers."""
    if name == "latents":
        return name
    _, time, kind, *rest = name.split(".")
    time = "2" if tied and time == "1" else time
    if kind in ("among", "after"):
        place = f"{2 * MODALITIES}.{int(kind == 'after')}"
    else:
        number = MODALITIES - 1 if kind == "feeds" and time == "2" else int(rest.pop(0))
        place = str(2 * number + (kind == "feeds"))
        rest = rest[-2:]
    part, entry = rest
    return f"layers.{time}.{place}.{PARTS[part]}.{entry}"


def recorded(name: str) -> tuple[Fixture, nn.Module, list[Tensor]]:
    """A case of the release, our module with its numbers, and its inputs with channels first."""
    fixture, options = read_fixture(FOLDER / f"{name}.npz"), {**SMALL, "positions": "all", **RECORDED[name]}
    table, image = fixture.inputs
    inputs = [table, image.movedim(3, 1)]
    shapes = [shape_of(tuple(x.shape[1:])) for x in inputs]
    module = component.module(HEALNetConfig(output="latents", **options), shapes)
    with torch.no_grad():
        for ours, weight in module.named_parameters():
            weight.copy_(fixture.parameters[released(ours, options.get("tie") == "release")])
    return fixture, module.eval(), inputs


@pytest.mark.parametrize("name", RECORDED)
def test_the_release_is_computed_again(name: str):
    fixture, module, inputs = recorded(name)
    inputs = [x.requires_grad_() for x in inputs]
    present = fixture.arrays["present"].bool() if name == "rows_absent" else None
    if name == "second_absent_verbose":
        present = torch.tensor([[True, False]] * len(inputs[0]))
    found, wanted = module(*inputs, present=present), fixture.arrays["out_embedding"]
    assert (found - wanted).abs().max() < 2e-5 * wanted.abs().max()
    if "grad_input0" not in fixture.arrays:
        return
    # The recorded gradient is of both results; that of the scores goes through the last layer of the release.
    head = nn.Sequential(nn.LayerNorm(8), nn.Linear(8, 3))
    with torch.no_grad():
        for part, number in ((head[0], 1), (head[1], 2)):
            for entry in ("weight", "bias"):
                getattr(part, entry).copy_(fixture.parameters[f"to_logits.{number}.{entry}"])
    scores = head(found.mean(1))
    total = sum((x * fixture.cotangent(place, x.shape)).sum() for place, x in enumerate((found, scores)))
    grads = torch.autograd.grad(total, inputs, allow_unused=True)
    for place, grad in enumerate(grads):
        theirs = fixture.arrays.get(f"grad_input{place}")
        if theirs is not None and grad is not None:
            theirs = theirs if place == 0 else theirs.movedim(3, 1)
            # The release computed in float32, where parts of these gradients cancel out.
            assert (grad - theirs).abs().max() <= 2e-3 * theirs.abs().max()


@pytest.mark.parametrize(("name", "parameters"), [("table_image", 7163), ("table_image_tied", 6307)])
def test_it_has_as_many_parameters_as_the_release(name: str, parameters: int):
    _, module, _ = recorded(name)
    scores = 2 * 8 + 8 * 3 + 3
    assert sum(weight.numel() for weight in module.parameters()) + scores == parameters


def test_of_masked_tokens_the_real_ones_are_attended_to():
    fixture = read_fixture(FOLDER / "attention_mask.npz")
    module = _Attention(8, 0.0, 2, 4, 6)
    with torch.no_grad():
        for name, weight in module.named_parameters():
            part, entry = name.split(".")
            weight.copy_(fixture.parameters[f"{PARTS[part]}.{entry}"])
    found = module(*fixture.inputs, fixture.arrays["mask"].bool())
    torch.testing.assert_close(found, fixture.arrays["out_y"])


def test_the_position_code_is_that_of_the_release():
    torch.testing.assert_close(position_code((5,), 2, 10.0),
                               read_fixture(FOLDER / "fourier_5.npz").arrays["out_code"][:, 0])


def test_the_order_of_the_inputs_matters(build):
    x, y = torch.randn(2, 3, 5, generator=torch.Generator().manual_seed(0))
    module, other = build(component, x, y, **SMALL), build(component, y, x, **SMALL)
    state = module.state_dict()
    other.load_state_dict({name: state[re.sub(r"(cross|feeds)\.([01])", lambda m: f"{m[1]}.{1 - int(m[2])}", name)]
                           for name in state})
    assert (module(x, y) - other(y, x)).abs().max() > 1e-3


def test_a_volume_a_table_and_a_bag_are_taken_side_by_side():
    shapes = [shape_of((2, 3, 4, 5)), Vector((7,)), MaskedTokens((64, 6), ("bag",))]
    module = HEALNet(HEALNetConfig(**SMALL), shapes).eval()
    volume, table, bag = torch.randn(3, 2, 3, 4, 5), torch.randn(3, 7), torch.randn(3, 5, 6)
    valid = torch.tensor([[True] * 5, [True] * 2 + [False] * 3, [False] * 5])
    found = module(volume, table, bag, valid=[None, None, valid])
    assert found.shape == (3, 8)
    alone = module(volume[1:2], table[1:2], bag[1:2, :2], valid=[None, None, valid[1:2, :2]])
    torch.testing.assert_close(found[1:2], alone)
    without = HEALNet(HEALNetConfig(**SMALL), shapes[:2]).eval()
    kept = {name: value for name, value in module.state_dict().items()
            if ".cross.2." not in name and ".feeds.2." not in name and not name.startswith("streams.2")}
    without.load_state_dict(kept)
    torch.testing.assert_close(found[2:], without(volume[2:], table[2:]))
