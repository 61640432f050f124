"""I2MoE: recorded numbers, starts, what is missing, what is drawn, and which fusions it takes."""

from __future__ import annotations

import pytest
import torch
from fusionkit_plugins.fusions import concat, fusemoe, i2moe, mmtm
from recorded import GOLDEN

from fusionkit.components.config import ComponentError
from fusionkit.components.inner import Inner
from fusionkit.conversion.verification.check import check

X, Y, Z = torch.randn(5, 7), torch.randn(5, 2), torch.randn(5, 3)
SMALL = {"width": 3, "hidden": 5, "fusion": Inner.of(concat.component, width=4)}


@pytest.mark.parametrize("path", sorted((GOLDEN / "methods" / "i2moe").glob("*.npz")), ids=lambda path: path.stem)
def test_recorded_numbers_are_reproduced(path):
    found = check("fusion.i2moe", path)
    assert found.ok, [row for row in found.rows if not row.ok]


def test_experts_begin_apart_or_alike(build):
    fresh, copies = (build(i2moe.component, X, Y, **SMALL, start=start) for start in ("fresh", "copies"))
    assert not torch.equal(fresh.experts[0].last.weight, fresh.experts[3].last.weight)
    assert torch.equal(copies.experts[0].last.weight, copies.experts[3].last.weight)


def test_what_is_missing_has_no_weight_and_no_loss(build):
    module, present = build(i2moe.component, X, Y, Z, **SMALL), torch.tensor([[True, False, True]] * 5)
    weights = module.weights(X, Y * torch.nan, Z, present=present)
    assert not weights[:, 1].any() and (weights[:, [0, 2, 3, 4]] > 0).all()
    torch.testing.assert_close(weights.sum(1), torch.ones(5))
    torch.testing.assert_close(module(X, Y * torch.nan, Z, present=present)[0], module(X, Y, Z, present=present)[0])
    scores = torch.randn(5, 5, 3)
    losses = module.interactions([X, Y * 0, Z], present, scores, lambda expert, place, x: torch.ones_like(x))
    assert losses[1] == 0 and losses[[0, 2, 3, 4]].all()


def test_noise_is_drawn_in_training_alone(build):
    module = build(i2moe.component, X, Y, **SMALL)
    assert module(X, Y)[1] == 0
    loss = module.train()(X, Y)[1]
    loss.backward()
    assert loss > 0 and module.experts[0].last.weight.grad.any()


def test_a_loss_of_the_fusion_inside_reaches_its_weights(build):
    inside = Inner.of(fusemoe.component, width=4, experts=3, selected=2, hidden=5)
    module = build(i2moe.component, X[:, :3], Z, width=3, hidden=5, fusion=inside, weight=0.0)
    loss = module(X[:, :3], Z)[1]
    loss.backward()
    assert loss > 0 and module.experts[0].fusion.routers[0].weight.grad.any()


def test_a_fusion_that_gives_no_vector_and_a_single_input_are_refused(build):
    with pytest.raises(ComponentError, match=r"fusion\.mmtm gives no vector"):
        build(i2moe.component, X, Y, width=3, fusion=Inner.of(mmtm.component))
    with pytest.raises(ComponentError, match="it compares its inputs, but is given one"):
        build(i2moe.component, X, **SMALL)
