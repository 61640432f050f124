"""FuseMoE: recorded numbers, what a result is, who routes, what is missing, and refusals."""

from __future__ import annotations

import pytest
import torch
from fusionkit_plugins.fusions.fusemoe import component
from recorded import GOLDEN

from fusionkit.components.config import ComponentError
from fusionkit.conversion.verification.check import check

X, Y = torch.randn(5, 3), torch.randn(5, 3)
SMALL = {"width": 7, "experts": 4, "selected": 2, "hidden": 5}


@pytest.mark.parametrize("path", sorted((GOLDEN / "methods" / "fusemoe").glob("*.npz")), ids=lambda path: path.stem)
def test_recorded_numbers_are_reproduced(path):
    found = check("fusion.fusemoe", path)
    assert found.ok, [row for row in found.rows if not row.ok]


def test_joint_routing_gives_logarithms_of_probabilities(build):
    features, _ = build(component, X, Y, **SMALL, routing="joint")(X, Y)
    torch.testing.assert_close(features.exp().sum(1), torch.ones(5))


@pytest.mark.parametrize("routing", ["permod", "disjoint", "joint"])
def test_every_router_is_trained(build, routing):
    module = build(component, X, Y, **SMALL, routing=routing).train()
    features, loss = module(X, Y)
    (features.square().sum() + loss).backward()
    assert all(router.weight.grad.any() and router.spread.grad.any() for router in module.routers)
    assert len(module.routers) == (1 if routing == "joint" else 2)


def test_a_missing_input_leaves_the_sum(build):
    two, one = build(component, X, Y, **SMALL), build(component, X, **SMALL)
    one.load_state_dict({name: value for name, value in two.state_dict().items() if not name.startswith("routers.1")})
    found, loss = two(X, Y * torch.nan, present=torch.tensor([[True, False]] * 5))
    wanted, theirs = one(X)
    torch.testing.assert_close(found, wanted)
    torch.testing.assert_close(loss, theirs)


def test_a_joint_router_is_told_what_is_missing(build):
    module = build(component, X, Y, **SMALL, routing="joint")
    gone = module(X, Y * torch.nan, present=torch.tensor([[True, False]] * 5))[0]
    assert (gone - module(X, torch.zeros_like(Y))[0]).abs().max() > 1e-4


@pytest.mark.parametrize(("options", "told"), [
    ({"selected": 5}, "of 4 experts 5 cannot be selected"),
    ({"routing": "disjoint", "experts": 5}, "5 experts cannot be divided equally among 2 inputs")])
def test_experts_that_do_not_fit_are_refused(build, options, told):
    with pytest.raises(ComponentError, match=told):
        build(component, X, Y, **SMALL | options)
