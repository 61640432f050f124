"""fusion.msca against the specification written out case by case, absence included."""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from typing import Any

import pytest
import torch
from fusionkit_plugins.fusions.msca import MSCA, component
from pydantic import ValidationError
from torch import Tensor, nn

from fusionkit.components.config import ComponentError

Build = Callable[..., nn.Module]
Count = Callable[[nn.Module], int]


def attend(block: nn.Module, asking: Tensor, asked: list[Tensor]) -> Tensor:
    """Tokens (n, d) of one case that ask the tokens of others, head by head; with nothing to ask, as they are."""
    if not asked:
        return asking
    context = torch.cat(asked)
    size = asking.shape[1] // block.heads
    query, key, value = block.query(asking), block.key(context), block.value(context)
    answers = []
    for head in range(block.heads):
        part = slice(head * size, (head + 1) * size)
        weights = (query[:, part] @ key[:, part].T / size**0.5).softmax(1)
        answers.append(weights @ value[:, part])
    return asking + torch.cat(answers, 1)


def by_hand(module: MSCA, inputs: Sequence[Tensor], here: Sequence[int]) -> Tensor:
    """The result of one case, of the streams that are there."""
    normed = {}
    for m in here:
        x = inputs[m] if inputs[m].dim() == 2 else inputs[m].unsqueeze(0)
        x = module.project[str(m)](x) if str(m) in module.project else x
        norm = module.norms[m]
        if hasattr(norm, "running_mean"):
            x = nn.functional.batch_norm(x, norm.running_mean, norm.running_var, norm.weight, norm.bias)
        else:
            x = norm(x)
        normed[m] = x
    made, answers, means = normed, {}, []
    for scale, block in enumerate(module.attention):
        asking = made
        if scale:
            made = {m: module.reduce[scale - 1](x) for m, x in (made if module.chain else normed).items()}
            asking = {m: x + module.carry[scale - 1][m](answers[m]) for m, x in made.items()}
        answers = {m: attend(block, x, [asking[o] for o in here if o != m]) for m, x in asking.items()}
        means.append(sum(x.mean(0) for x in answers.values()) / len(here))
    result = means[-1]
    for place, blend in enumerate(module.blend):
        u, v = blend.project.layers[0](means[-2 - place]), blend.project.layers[1](result)
        weights = (u * v).softmax(0)
        last = place == len(module.blend) - 1
        result = torch.cat([u + u * weights, v + v * weights]) if blend.concat and last else (u + v) * (1 + weights)
    return result


CASES = [
    ([(24,), (24,)], {}),
    ([(16,), (9,)], {"width": 16, "norm": "layer"}),
    ([(5, 12), (3, 12), (2, 12)], {"heads": [3, 2, 3]}),
    ([(5, 10), (7,), (10,)], {"width": 10, "chain": True, "merge": "concat"}),
    ([(11,), (4, 11)], {"scales": 4, "scale_widths": [7, 6, 5], "chain": True}),
    ([(7,), (7,), (7,), (7,)], {"scales": 1}),
]


@pytest.mark.parametrize(("sizes", "options"), CASES, ids=str)
def test_it_is_what_is_specified(build: Build, sizes: Sequence[tuple[int, ...]], options: dict[str, Any]):
    inputs = [torch.randn(6, *one, dtype=torch.float64) for one in sizes]
    module = build(component, *inputs, **options).double()
    for norm in module.norms:
        if hasattr(norm, "running_mean"):
            norm.running_mean.normal_()
            norm.running_var.uniform_(0.5, 2)
    present = torch.rand(6, len(sizes)) < 0.6
    present[0], present[1] = True, False
    found = module(*inputs, present=present)
    for row in range(6):
        here = [m for m in range(len(sizes)) if present[row, m]]
        wanted = by_hand(module, [x[row] for x in inputs], here) if here else torch.zeros_like(found[row])
        torch.testing.assert_close(found[row], wanted)
    complete = module(*inputs)
    torch.testing.assert_close(complete[3], by_hand(module, [x[3] for x in inputs], range(len(sizes))))


def test_parameters_are_those_of_the_specification(build: Build, count: Count):
    image, table = torch.randn(2, 24), torch.randn(2, 24)
    assert count(build(component, image, table)) == 4848
    assert count(build(component, image, torch.randn(2, 7), width=24)) == 4848 + 7 * 24 + 24
    # The norms have no weights in common, the attention and the reductions have.
    assert count(build(component, image, table, table)) == 4848 + 48 + 300 + 78


def test_widths_halve_and_heads_divide_them(build: Build):
    module = build(component, torch.randn(2, 22), torch.randn(2, 22), scales=5, heads=[4, 3])
    assert [block.query.in_features for block in module.attention] == [22, 11, 5, 2, 1]
    assert [block.heads for block in module.attention] == [2, 1, 1, 2, 1]


def test_attention_to_one_token_learns_nothing_and_to_more_it_does(build: Build):
    def reached(*inputs: Tensor) -> set[str]:
        module = build(component, *inputs).double()
        module(*[x.double() for x in inputs]).square().sum().backward()
        return {name.split(".")[2] for name, p in module.named_parameters()
                if name.startswith("attention") and name.endswith("weight") and p.grad.abs().max() > 1e-12}

    vector = torch.randn(3, 8)
    assert reached(vector, vector.flip(0)) == {"value"}
    assert reached(vector, torch.randn(3, 5, 8)) == {"query", "key", "value"}
    assert reached(vector, vector.flip(0), vector.flip(1)) == {"query", "key", "value"}


def test_dropout_is_in_the_coarser_scales_only(build: Build):
    inputs = [torch.randn(4, 8), torch.randn(4, 8)]
    for scales, same in ((1, True), (2, False)):
        module = build(component, *inputs, scales=scales, norm="layer").train()
        assert torch.equal(module(*inputs), module(*inputs)) == same


def test_statistics_are_of_present_rows(build: Build):
    """Absent rows are nowhere in the norms: the streams give what they would with these rows taken out."""
    inputs = [torch.randn(7, 8), torch.randn(7, 8)]
    module = build(component, *inputs, dropout=0.0).train()
    other = copy.deepcopy(module)
    present = torch.ones(7, 2, dtype=torch.bool)
    present[2:5, 1] = False
    found = module(*inputs, present=present)
    here = present[:, 1]
    other.norms[0](inputs[0].unsqueeze(1))
    other.norms[1](inputs[1][here].unsqueeze(1))
    for one, two in zip(module.norms, other.norms, strict=True):
        torch.testing.assert_close(one.running_mean, two.running_mean)
        torch.testing.assert_close(one.running_var, two.running_var)
    assert found.isfinite().all()


def test_widths_that_do_not_fit_are_told(build: Build):
    with pytest.raises(ComponentError, match="7 and 24 features"):
        build(component, torch.randn(2, 24), torch.randn(2, 7))
    with pytest.raises(ValidationError, match="3 scales need 2"):
        build(component, torch.randn(2, 24), torch.randn(2, 24), scale_widths=[5])
