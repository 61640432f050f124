"""Bidirectional feedback: sizes, the formula with known gates, grids and channels of any kind, absence."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from drawn import drawn
from fusionkit_plugins.fusions.bfpu import Bfpu, BfpuConfig
from torch import Tensor, nn
from torch.nn import functional as F

from fusionkit.components.config import ComponentError
from fusionkit.shapes.layouts import shape_of

DEEP, SHALLOW = (6, 3, 5, 2), (5, 5, 11, 3)


def made(deep: tuple[int, ...], shallow: tuple[int, ...], **options: Any) -> Bfpu:
    return Bfpu(BfpuConfig(**options), [shape_of(deep), shape_of(shallow)])


def maps(*sizes: tuple[int, ...], batch: int = 3) -> list[Tensor]:
    random = torch.Generator().manual_seed(1)
    return [torch.randn(batch, *one, generator=random, dtype=torch.float64) for one in sizes]


@pytest.mark.parametrize(("channels", "count"), [(512, 14_398_980), (1024, 57_371_652)])
def test_the_number_of_weights(channels: int, count: int) -> None:
    with torch.device("meta"):
        module = made((channels, 2, 3, 5), (channels // 2, 3, 5, 7))
    assert sum(p.numel() for p in module.parameters()) == count


def test_known_gates_and_weights_give_the_formula() -> None:
    module = drawn(made(DEEP, SHALLOW))
    with torch.no_grad():
        for layer in (module.query, module.weigh_deep, module.weigh_shallow):
            layer.weight.zero_()
        module.query.bias.zero_()  # the gate is one half everywhere
        module.weigh_deep.bias.copy_(torch.tensor([3.0, 5.0]))
        module.weigh_shallow.bias.copy_(torch.tensor([7.0, 11.0]))
    x, y = maps(DEEP, SHALLOW)
    near = F.interpolate(y, size=DEEP[1:], mode="trilinear", align_corners=True)
    projected = torch.einsum("bcdhw,ec->bedhw", near, module.project.weight.flatten(1))
    projected = projected + module.project.bias[:, None, None, None]
    torch.testing.assert_close(module(x, y), 5.5 * x + 12.5 * projected, atol=1e-11, rtol=0)


@pytest.mark.parametrize("sizes", [((6, 5, 7), (6, 5, 7)), ((6, 3, 5, 2), (6, 3, 5, 2))])
def test_the_paper_puts_gated_maps_side_by_side(sizes: tuple[tuple[int, ...], tuple[int, ...]]) -> None:
    module = drawn(made(*sizes, variant="paper"))
    x, y = maps(*sizes)
    gate = (module.query(x) * module.key(y)).sigmoid()
    assert torch.equal(module(x, y), torch.cat([x + gate * x, y + gate * y], 1))
    assert [name for name, _ in module.named_children()] == ["project", "query", "key"]


def test_the_gate_is_symmetric_in_query_and_key() -> None:
    module = drawn(made(DEEP, DEEP))
    x, y = maps(DEEP, DEEP)
    wanted = module(x, y)
    module.query, module.key = module.key, module.query
    module.weigh_deep, module.weigh_shallow = module.weigh_shallow, module.weigh_deep
    torch.testing.assert_close(module(y, x), wanted, atol=1e-12, rtol=1e-12)


def test_channels_decide_on_the_projection_and_the_grid_on_resizing() -> None:
    assert isinstance(made((6, 3, 5), (6, 7, 11)).project, nn.Identity)
    assert isinstance(made((6, 3, 5), (5, 3, 5)).project, nn.Conv2d)


@pytest.mark.parametrize("variant", ["release", "paper"])
def test_an_absent_map_counts_as_zeros(variant: str) -> None:
    module = drawn(made(DEEP, SHALLOW, variant=variant))
    x, y = maps(DEEP, SHALLOW)
    present = torch.tensor([[True, True], [True, False], [False, False]])
    found = module(x, y, present=present)
    torch.testing.assert_close(found[0], module(x, y)[0])
    alone = drawn(made(DEEP, DEEP, variant=variant))
    alone.load_state_dict({k: v for k, v in module.state_dict().items() if not k.startswith("project")})
    torch.testing.assert_close(found[1], alone(x, torch.zeros_like(x))[1])
    assert not found[2].any()


def test_an_image_and_a_volume_are_refused() -> None:
    with pytest.raises(ComponentError, match="'image' and 'volume'"):
        made((6, 3, 5), (6, 3, 5, 7))
