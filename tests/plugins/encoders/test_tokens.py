"""Tokens of vectors and maps: what each token is, how many there are, and sizes."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from fusionkit_plugins.encoders.tokens import TokenRow, TokensConfig, component

from fusionkit.shapes.layouts import Tokens, shape_of

VECTOR = torch.randn(3, 5)


def made(*sizes: int, **options: object) -> TokenRow:
    torch.manual_seed(0)
    return TokenRow(TokensConfig.model_validate({"width": 4} | options), [shape_of(sizes)])


def count(module: TokenRow) -> int:
    return sum(parameter.numel() for parameter in module.parameters())


def test_slots_are_projections_of_the_whole_vector() -> None:
    module = made(5, count=3)
    for place in range(3):
        rows = slice(4 * place, 4 * place + 4)
        wanted = VECTOR @ module.project.weight[rows].T + module.project.bias[rows]
        torch.testing.assert_close(module(VECTOR)[:, place], wanted)
    assert count(module) == (5 + 1) * 3 * 4


def test_each_feature_has_a_token_of_its_own() -> None:
    module = made(5, count="features")
    found, changed = module(VECTOR), VECTOR.clone()
    changed[:, 2] += 1
    torch.testing.assert_close((module(changed) - found)[:, 2], module.directions[2].expand(3, -1))
    assert not (module(changed) - found)[:, [0, 1, 3, 4]].any()
    assert count(module) == 2 * 5 * 4


@pytest.mark.parametrize("sizes", [(5, 7, 3), (5, 3, 11, 2)])
def test_a_map_is_averaged_to_the_cap_and_lined_up(sizes: tuple[int, ...]) -> None:
    x, module = torch.randn(3, *sizes), made(*sizes, largest=4)
    pool = F.adaptive_avg_pool2d if len(sizes) == 3 else F.adaptive_avg_pool3d
    small = pool(x, [min(size, 4) for size in sizes[1:]])
    wanted = torch.stack([module.project(small.flatten(2)[..., n]) for n in range(small[0, 0].numel())], 1)
    torch.testing.assert_close(module(x), wanted)
    assert count(module) == (5 + 1) * 4


def test_the_shape_is_said_beforehand() -> None:
    for sizes, options, tokens in (((5,), {}, 1), ((5,), {"count": 3}, 3), ((5,), {"count": "features"}, 5),
                                   ((5, 20, 7), {"count": "features"}, 14 * 7), ((5, 20, 20), {"largest": 6}, 36)):
        config = TokensConfig.model_validate({"width": 4} | options)
        assert component.output(config, [shape_of(sizes)]) == Tokens((tokens, 4))
        assert made(*sizes, **options)(torch.zeros(1, *sizes)).shape == (1, tokens, 4)
