"""MCAT: recorded numbers, what each part hears, what is missing, and sizes."""

from __future__ import annotations

import pytest
import torch
from fusionkit_plugins.blocks.transformer import Attention
from fusionkit_plugins.fusions.mcat import component
from recorded import GOLDEN

from fusionkit.components.config import ComponentError
from fusionkit.conversion.verification.check import check
from fusionkit.conversion.verification.reading import read_fixture

FOLDER = GOLDEN / "methods" / "mcat"
SMALL = {"width": 6, "heads": 2, "inside": 7, "layers": 1}
BAG, GENES, OTHERS = torch.randn(3, 5, 11), torch.randn(3, 7), torch.randn(3, 2)


@pytest.mark.parametrize("name", ["small_n5", "bags_masked"])
def test_recorded_numbers_are_reproduced(name):
    found = check("fusion.mcat", FOLDER / f"{name}.npz")
    assert found.ok, [row for row in found.rows if not row.ok]


def test_groups_ask_patches_as_in_the_release():
    case = read_fixture(FOLDER / "coattention_8.npz")
    layer, given = Attention(8, 1), case.parameters
    layer.load_state_dict({f"query.{part}": given[f"in_proj_{part}"][:8] for part in ("weight", "bias")}
                          | {f"key_value.{part}": given[f"in_proj_{part}"][8:] for part in ("weight", "bias")}
                          | {f"join.{part}": given[f"out_proj.{part}"] for part in ("weight", "bias")})
    found = layer(*(x.transpose(0, 1) for x in case.inputs))
    torch.testing.assert_close(found.transpose(0, 1), case.arrays["out_y"], atol=1e-5, rtol=0)


def test_the_release_has_so_many_parameters(build, count):
    groups = [torch.randn(2, size) for size in (5, 6, 7, 3, 4, 2)]
    module = build(component, torch.randn(2, 3, 1024), *groups, fallback=False, availability=False)
    classes, shifts_of_scores = 256 * 4 + 4, 2
    assert count(module) + classes + shifts_of_scores == 3630598


def test_patches_reach_the_result_through_the_groups_alone(build):
    """With patches that all answer alike, the questions change nothing of what is told."""
    module = build(component, BAG, GENES, **SMALL)
    same = BAG[:, :1].expand_as(BAG)
    told = [module.asking(module.groups([genes], None, None)[0], module.patch(same).relu())
            for genes in (GENES, GENES + 1)]
    torch.testing.assert_close(*told)
    assert module.scores(BAG, GENES).shape == (3, 1, 5)


@pytest.mark.parametrize(("there", "of"), [([True, True, False], (0, 1)), ([False, True, True], (1, 2))])
def test_a_missing_group_or_bag_is_as_if_it_were_not_there(build, there, of):
    given = [BAG, GENES, OTHERS]
    module = build(component, *given, **SMALL)
    present = torch.tensor([there] * 3)
    filled = [x if here else x * torch.nan for x, here in zip(given, there, strict=True)]
    found = module(*filled, present=present)
    torch.testing.assert_close(found, module(*given, present=present), rtol=0, atol=0)
    if 0 in of:
        fewer = build(component, BAG, GENES, **SMALL)
        fewer.load_state_dict({name: value for name, value in module.state_dict().items() if "networks.1" not in name})
        torch.testing.assert_close(found, fewer(BAG, GENES))
    else:
        assert (found - module(*given)).abs().max() > 1e-4


def test_a_bag_alone_is_pooled_by_itself_or_gives_zeros(build):
    present = torch.tensor([[True, False]] * 3)
    whole, without = (build(component, BAG, GENES, **SMALL, fallback=fallback) for fallback in (True, False))
    assert (whole(BAG, GENES, present=present) - whole(BAG.flip(0), GENES, present=present)).abs().max() > 1e-4
    assert not without(BAG, GENES, present=present).any()
    assert without(BAG, GENES, present=~present).any()


def test_an_empty_bag_is_as_a_missing_one(build):
    module = build(component, BAG, GENES, **SMALL)
    empty = module(BAG, GENES, valid=[torch.zeros(3, 5, dtype=torch.bool), None])
    torch.testing.assert_close(empty, module(BAG, GENES, present=torch.tensor([[False, True]] * 3)))


def test_heads_must_divide_the_width(build):
    with pytest.raises(ComponentError, match="6 features cannot be divided equally among 4 heads"):
        build(component, BAG, GENES, **SMALL | {"heads": 4})
