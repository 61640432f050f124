"""Costs of a network whose layers repeat are those of running every operation."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import FlopCounterMode

from fusionkit.network.counting import CostCounter


class Sizes(TorchDispatchMode):
    """Bytes of what every operation creates, and how many operations there are."""

    def __init__(self) -> None:
        super().__init__()
        self.made = self.count = 0

    def __torch_dispatch__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = function(*args, **(kwargs or {}))
        self.count += function is not torch.ops.aten.empty_strided.default  # by which a result is repeated
        if not any(argument.alias_info is not None for argument in function._schema.arguments):
            parts = result if isinstance(result, tuple | list) else (result,)
            self.made += sum(part.numel() * part.element_size() for part in parts if isinstance(part, Tensor))
        return result


@contextmanager
def on_meta() -> Iterator[None]:
    with torch.device("meta"), torch.no_grad():
        yield


def assert_counts(module: nn.Module, given: Tensor) -> None:
    module.eval()
    with FlopCounterMode(display=False) as flops, Sizes() as whole:
        expected = module(given)
    with Sizes() as run, CostCounter() as costs:
        found = module(given)
    assert (costs.operations, costs.made) == (flops.get_total_flops(), whole.made) and costs.operations > 0
    assert (found.shape, found.stride(), found.dtype) == (expected.shape, expected.stride(), expected.dtype)
    assert run.count < whole.count, "what repeats is not run again"


def test_layers_that_repeat() -> None:
    with on_meta():
        block = nn.TransformerEncoderLayer(12, 3, 23, batch_first=True)
        for module, given in (
            (nn.TransformerEncoder(block, 5, enable_nested_tensor=False), torch.zeros(3, 11, 12)),
            (nn.Sequential(*[nn.Sequential(nn.Conv2d(6, 6, 3, padding=1), nn.BatchNorm2d(6), nn.ReLU(inplace=True))
                             for _ in range(3)]), torch.zeros(2, 6, 13, 17)),
        ):
            assert_counts(module, given)


@pytest.mark.parametrize("kind", [torch.float32, torch.float64, torch.bfloat16])
def test_batch_norms(kind: torch.dtype) -> None:
    images = torch.zeros(2, 5, 7, 11, dtype=kind, device="meta")
    with on_meta():
        for norm, given in (
            (nn.BatchNorm1d(5), images[:, :, 0, 0]), (nn.BatchNorm1d(5), images[:, :, 0]), (nn.BatchNorm2d(5), images),
            (nn.BatchNorm2d(5), images.to(memory_format=torch.channels_last)),
            (nn.BatchNorm2d(5), images.transpose(2, 3)), (nn.BatchNorm2d(5), images[:1].expand(3, -1, -1, -1)),
            (nn.BatchNorm3d(5), images[:, :, None]), (nn.BatchNorm2d(5, affine=False), images),
            (nn.BatchNorm2d(5, track_running_stats=False), images), (nn.BatchNorm2d(5).train(), images),
        ):
            norm = norm.to(kind)
            with Sizes() as whole:
                expected = norm(given)
            with CostCounter() as costs:
                found = norm(given)
            assert costs.made == whole.made > 0
            assert (found.shape, found.stride(), found.dtype) == (expected.shape, expected.stride(), expected.dtype)


class Typed(nn.Module):
    """The same operation with numbers that are equal and of other types, and with results that are changed in place."""

    def forward(self, x: Tensor) -> Tensor:
        whole, real = torch.ones(5, dtype=torch.int64) + 1, torch.ones(5, dtype=torch.int64) + 1.0
        assert (whole.dtype, real.dtype) == (torch.int64, torch.float32)
        first = (x @ x.T).unsqueeze_(0)
        second = x @ x.T
        assert (first.dim(), second.dim()) == (3, 2)
        assert (torch.arange(4, device="cpu") * 2).tolist() == (torch.arange(4, device="cpu") * 2).tolist()
        return second + first[0] + whole[0] + real[0]


def test_equal_numbers_of_other_types_and_results_changed_in_place() -> None:
    with on_meta():
        assert_counts(Typed(), torch.zeros(7, 3))
