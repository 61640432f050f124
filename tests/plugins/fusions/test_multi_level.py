"""Multi-level fusion: levels, what is carried, absence, mixed ranks, and sizes."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from fusionkit_plugins.fusions.multi_level import component
from pydantic import ValidationError

from fusionkit.components.config import ComponentError

FINE, DEEP = torch.randn(3, 5, 11, 13), torch.randn(3, 7, 5, 7)
OTHER_FINE, OTHER_DEEP = torch.randn(3, 3, 7, 17), torch.randn(3, 2, 5, 5)
MAPS = (FINE, DEEP, OTHER_FINE, OTHER_DEEP)


def levels(module, inputs):
    """The joined levels: smallest sizes on each axis are (7, 13) and (5, 5)."""
    one = module.join[0](F.adaptive_max_pool2d(inputs[0], (7, 13)), F.adaptive_max_pool2d(inputs[2], (7, 13)))
    return one, module.join[1](F.adaptive_max_pool2d(inputs[1], (5, 5)), inputs[3])


def carried(module, one, two):
    carry, below = module.carry[0], F.adaptive_max_pool2d(one, (5, 5))
    mixed = F.conv2d(torch.cat([two, below], 1), carry.mix.weight, carry.mix.bias)
    norm = carry.norm.norm
    return F.batch_norm(mixed, norm.running_mean, norm.running_var, norm.weight, norm.bias).relu()


@pytest.mark.parametrize("join", ["sum", "gmu", "concat"])
def test_levels_are_joined_and_carried(build, join):
    module = build(component, *MAPS, width=6, join=join, output="pyramid")
    one, two = levels(module, MAPS)
    found = module(*MAPS)
    torch.testing.assert_close(found[0], one)
    torch.testing.assert_close(found[1], carried(module, one, two))


def test_the_outputs_are_of_the_same_levels(build):
    made = {output: build(component, *MAPS, width=6, output=output) for output in ("pyramid", "last", "vector")}
    for module in made.values():
        module.load_state_dict(made["pyramid"].state_dict())
    pyramid = made["pyramid"](*MAPS)
    assert torch.equal(made["last"](*MAPS), pyramid[1])
    torch.testing.assert_close(made["vector"](*MAPS), torch.cat([x.mean((2, 3)) for x in pyramid], 1))


def test_without_carrying_the_levels_stay_apart(build, count):
    module = build(component, *MAPS, width=6, carry="none")
    one, two = levels(module, MAPS)
    torch.testing.assert_close(module(*MAPS), torch.cat([one.mean((2, 3)), two.mean((2, 3))], 1))
    assert count(module) == (5 + 3 + 2) * 6 + (7 + 2 + 2) * 6


@pytest.mark.parametrize(("norm", "reduce", "more"), [("batch", "pool", 12), ("none", "pool", 6),
                                                      ("batch", "conv", 12 + 9 * 36 + 6)])
def test_sizes(build, count, norm, reduce, more):
    apart = build(component, *MAPS, width=6, carry="none")
    module = build(component, *MAPS, width=6, norm=norm, reduce=reduce)
    assert count(module) - count(apart) == 2 * 36 + more


def test_an_absent_modality_leaves_every_join_and_what_is_carried_goes_on(build):
    module = build(component, *MAPS, width=6, join="mean", output="pyramid")
    present = torch.tensor([[True, True, False, False]] * 3)
    found = module(FINE, DEEP, torch.full_like(OTHER_FINE, float("nan")), OTHER_DEEP, present=present)
    one = module.join[0].project.layers[0](F.adaptive_max_pool2d(FINE, (7, 13)))
    two = module.join[1].project.layers[0](F.adaptive_max_pool2d(DEEP, (5, 5)))
    torch.testing.assert_close(found[0], one)
    torch.testing.assert_close(found[1], carried(module, one, two))


def test_norms_see_rows_that_have_something(build):
    module = build(component, *MAPS, width=6).train()
    present = torch.tensor([[True] * 4, [False] * 4, [True] * 4])
    gone = [torch.where(present[:, m, None, None, None], x, float("nan")) for m, x in enumerate(MAPS)]
    found = module(*gone, present=present)
    two = build(component, *MAPS, width=6).train()
    two.load_state_dict({name: value for name, value in module.state_dict().items() if "running" not in name},
                        strict=False)
    torch.testing.assert_close(found[[0, 2]], two(*[x[[0, 2]] for x in MAPS]))
    assert not found[1].any()
    torch.testing.assert_close(module.carry[0].norm.norm.running_mean, two.carry[0].norm.norm.running_mean)


def test_volumes_beside_images_are_averaged_over_their_slices(build):
    volumes = (torch.randn(3, 3, 5, 7, 17), torch.randn(3, 2, 3, 5, 5))
    mixed = build(component, FINE, DEEP, *volumes, width=6)
    flat = build(component, *MAPS, width=6)
    flat.load_state_dict(mixed.state_dict())
    torch.testing.assert_close(mixed(FINE, DEEP, *volumes), flat(FINE, DEEP, *[x.mean(2) for x in volumes]))


def test_what_does_not_come_together_is_refused(build):
    with pytest.raises(ComponentError, match="3 maps cannot be divided equally among 2 modalities"):
        build(component, *MAPS[:3])
    with pytest.raises(ComponentError, match="some of its levels are images and others volumes"):
        build(component, FINE, torch.randn(3, 7, 3, 5, 7), modalities=1)
    with pytest.raises(ValidationError, match="the finer levels would not affect"):
        component.config(carry="none", output="last")
