"""Copies for inference: equal results, the network left alone, what is folded and what is not, no training."""

from __future__ import annotations

import copy
import pickle
from typing import Any

import pytest
import torch
from drawn import drawn
from fusionkit_plugins.encoders.dcfb import Dcfb, DcfbConfig, FoldedDcfb
from fusionkit_plugins.encoders.e3d_msca import E3dMsca, E3dMscaConfig
from torch import Tensor, nn

import fusionkit
from fusionkit.network.model import FusionModel
from fusionkit.shapes.layouts import shape_of

MAPS = [(7, 5, 7, 11), (11, 3, 5, 2)]
GRAPH: dict[str, Any] = {
    "fusionkit": 1,
    "inputs": {"scan": {"volume": [3, 7, 11, 5], "optional": True}, "ehr": {"vector": [5]}},
    "nodes": {
        "refined": {"chain": [{"use": "encoder.dcfb"}, {"use": "encoder.conv", "with": {"widths": [6, 7]}}],
                    "from": "scan"},
        "joined": {"use": "fusion.concat", "from": ["refined", "ehr"]},
        "result": {"use": "head.classify", "from": "joined", "with": {"classes": ["a", "b"]}},
    },
}


class Doubled(nn.Module):
    """A layer that offers a rewrite of itself."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.full((), 2.0))

    def forward(self, x: Tensor) -> Tensor:
        return x * self.weight

    def optimized(self) -> nn.Module:
        return Fixed(float(self.weight.detach()))


class Fixed(nn.Module):
    def __init__(self, factor: float) -> None:
        super().__init__()
        self.factor = factor

    def forward(self, x: Tensor) -> Tensor:
        return x * self.factor


class Backwards(nn.Sequential):
    def forward(self, x: Tensor) -> Tensor:
        for layer in reversed(self):
            x = layer(x)
        return x


def kinds(module: nn.Module) -> list[str]:
    return [type(part).__name__ for part in module]


@pytest.mark.parametrize(("convolution", "norm", "sizes"), [
    (nn.Conv1d, nn.BatchNorm1d, (6, 11)), (nn.Conv2d, nn.BatchNorm2d, (6, 7, 11)),
    (nn.Conv3d, nn.BatchNorm3d, (6, 3, 7, 2)),
], ids=["1d", "2d", "3d"])
def test_norms_behind_convolutions_are_folded(convolution: Any, norm: Any, sizes: tuple[int, ...]) -> None:
    row = drawn(nn.Sequential(convolution(6, 9, 3, stride=2, padding=1, groups=3), norm(9), nn.ReLU(),
                              convolution(9, 7, 1, bias=False), norm(7, affine=False)))
    folded = fusionkit.optimize(row)
    name = convolution.__name__
    assert kinds(folded) == [name, "Identity", "ReLU", name, "Identity"]
    x = torch.randn(3, *sizes, dtype=torch.float64)
    torch.testing.assert_close(folded(x), row(x), atol=1e-12, rtol=1e-12)


def _without_statistics() -> nn.Sequential:
    return nn.Sequential(nn.Conv2d(3, 5, 1), nn.BatchNorm2d(5, track_running_stats=False))


def _with_a_layer_between() -> nn.Sequential:
    return nn.Sequential(nn.Conv2d(3, 5, 1), nn.ReLU(), nn.BatchNorm2d(5))


def _parametrised() -> nn.Sequential:
    return nn.Sequential(nn.utils.parametrizations.weight_norm(nn.Conv2d(3, 5, 1)), nn.BatchNorm2d(5))


def _in_another_order() -> nn.Sequential:
    return Backwards(nn.Conv2d(5, 5, 1), nn.BatchNorm2d(5), nn.Conv2d(3, 5, 1))


def _watched() -> nn.Sequential:
    row = nn.Sequential(nn.Conv2d(3, 5, 1), nn.BatchNorm2d(5))
    row[0].register_forward_hook(lambda *_: None)
    return row


@pytest.mark.parametrize("make", [_without_statistics, _with_a_layer_between, _parametrised, _in_another_order,
                                  _watched])
def test_what_could_differ_is_left_as_it_is(make: Any) -> None:
    row = make().double().eval()
    copied = fusionkit.optimize(row)
    assert kinds(copied) == kinds(row)
    x = torch.randn(2, 3, 7, 11, dtype=torch.float64)
    assert torch.equal(copied(x), row(x))


def test_a_shared_convolution_gets_each_norm_where_it_stands() -> None:
    shared = nn.Conv2d(5, 5, 3, padding=1)
    row = drawn(nn.Sequential(shared, nn.BatchNorm2d(5), nn.Sequential(shared, nn.BatchNorm2d(5)), shared))
    x = torch.randn(2, 5, 7, 11, dtype=torch.float64)
    torch.testing.assert_close(fusionkit.optimize(row)(x), row(x), atol=1e-12, rtol=1e-12)


def test_an_offered_rewrite_is_taken_and_one_module_stays_one() -> None:
    twice = Doubled()
    row = nn.Sequential(twice, nn.Sequential(twice), Doubled())
    copied = fusionkit.optimize(row)
    assert kinds(copied) == ["Fixed", "Sequential", "Fixed"]
    assert copied[0] is copied[1][0]
    assert copied[0] is not copied[2]
    assert kinds(row) == ["Doubled", "Sequential", "Doubled"]
    assert isinstance(fusionkit.optimize(twice), Fixed)


def test_a_module_with_hooks_inside_keeps_its_own_form() -> None:
    block = Dcfb(DcfbConfig(), [shape_of((3, 5, 7))])
    seen: list[Tensor] = []
    block.expand.register_forward_hook(lambda _module, _args, output: seen.append(output))
    fusionkit.optimize(block)(torch.randn(2, 3, 5, 7))
    assert [tuple(one.shape) for one in seen] == [(2, 6, 5, 7)]


def test_the_network_itself_stays_as_it_is() -> None:
    row = nn.Sequential(Dcfb(DcfbConfig(), [shape_of((3, 5, 7))]), nn.Conv2d(3, 5, 1), nn.BatchNorm2d(5))
    before = copy.deepcopy(row.state_dict())
    copied = fusionkit.optimize(row)
    assert row.training
    assert not any(part.training for part in copied.modules())
    after = row.state_dict()
    assert before.keys() == after.keys()
    assert all(torch.equal(value, after[name]) for name, value in before.items())


@pytest.mark.parametrize("again", [lambda copied: copied, copy.deepcopy, lambda one: pickle.loads(pickle.dumps(one))],
                         ids=["itself", "its copy", "its pickle"])
def test_the_copy_refuses_training(again: Any) -> None:
    copied = again(fusionkit.optimize(drawn(nn.Sequential(nn.Conv2d(3, 5, 1), nn.BatchNorm2d(5), nn.Dropout()))))
    for refused in (copied.train, lambda: copied.train(True), nn.Sequential(copied).train):
        with pytest.raises(RuntimeError, match="for inference only"):
            refused()
    assert copied.eval() is copied
    assert not any(part.training for part in copied.modules())


def pyramid() -> tuple[nn.Module, list[Tensor]]:
    config = E3dMscaConfig(width=5, ratio=2, kernels=[1, 3])
    random = torch.Generator().manual_seed(2)
    return (drawn(E3dMsca(config, [shape_of(sizes) for sizes in MAPS])),
            [torch.randn(3, *sizes, generator=random, dtype=torch.float64) for sizes in MAPS])


def test_blocks_inside_a_pyramid_are_rewritten() -> None:
    module, maps = pyramid()
    copied = fusionkit.optimize(module)
    assert sum(isinstance(part, FoldedDcfb) for part in copied.modules()) == 2
    assert not any(isinstance(part, nn.BatchNorm3d) for name, part in copied.named_modules() if "prepare" not in name)
    wanted = module(*maps)
    for again in (copied, copy.deepcopy(copied), pickle.loads(pickle.dumps(copied))):
        torch.testing.assert_close(again(*maps), wanted, atol=1e-10, rtol=1e-10)


@pytest.mark.slow  # follows the network's code
def test_the_copy_exports_with_any_batch_and_compiles() -> None:
    module = drawn(nn.Sequential(Dcfb(DcfbConfig(width=4), [shape_of(MAPS[0])]), nn.Conv3d(4, 2, 1)))
    copied, x = fusionkit.optimize(module), torch.randn(3, *MAPS[0], dtype=torch.float64)
    with torch.no_grad():
        program = torch.export.export(copied, (x,), dynamic_shapes=({0: torch.export.Dim("batch", min=2)},))
        more = torch.cat([x, x.flip(0)])
        torch.testing.assert_close(program.module()(more), module(more), atol=1e-10, rtol=1e-10)
        compiled = torch.compile(copied, fullgraph=True, backend="eager")
        torch.testing.assert_close(compiled(x), module(x), atol=1e-10, rtol=1e-10)


def test_a_whole_network_gives_the_same_with_and_without_its_scan() -> None:
    model = drawn(fusionkit.build(GRAPH))
    copied = fusionkit.optimize(model)
    assert isinstance(copied, FusionModel)
    assert isinstance(copied.get_submodule("refined.0"), FoldedDcfb)
    assert not any(isinstance(part, nn.BatchNorm3d) for part in copied.modules())
    scan, ehr = (torch.randn(3, *sizes, dtype=torch.float64) for sizes in [(3, 7, 11, 5), (5,)])
    for inputs, present in (({"scan": scan, "ehr": ehr}, None), ({"ehr": ehr}, None),
                            ({"scan": scan, "ehr": ehr}, {"scan": torch.tensor([True, False, True])})):
        torch.testing.assert_close(copied(inputs, present)["result"], model(inputs, present)["result"],
                                   atol=1e-10, rtol=1e-10)
    with pytest.raises(RuntimeError, match="for inference only"):
        copied.train()
