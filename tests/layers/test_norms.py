"""PresentBatchNorm: PyTorch's batch normalisation of the rows that are there."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
import torch
from torch import Tensor, nn

from fusionkit.layers.norms import PresentBatchNorm, normalisation
from fusionkit.shapes.layouts import shape_of

SIZES = [(5,), (3, 5), (5, 2, 3), (5, 2, 3, 7)]
TORCHS = {1: nn.BatchNorm1d, 2: nn.BatchNorm1d, 3: nn.BatchNorm2d, 4: nn.BatchNorm3d}


def pair(sizes: Sequence[int]) -> tuple[PresentBatchNorm, nn.Module]:
    torch.manual_seed(3)
    ours, theirs = PresentBatchNorm(shape_of(tuple(sizes))), TORCHS[len(sizes)](5)
    for part in (ours.weight, ours.bias, ours.running_mean):
        part.data.normal_()
    ours.running_var.uniform_(0.5, 2)
    theirs.load_state_dict(ours.state_dict())
    return ours.double(), theirs.double()


def by_torch(norm: nn.Module, x: Tensor) -> Tensor:
    return norm(x.mT).mT if x.dim() == 3 else norm(x)


@pytest.mark.parametrize("sizes", SIZES, ids=str)
@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("absent", [True, False])
def test_it_is_torchs_on_present_rows(sizes: Sequence[int], training: bool, absent: bool):
    ours, theirs = (norm.train(training) for norm in pair(sizes))
    x = torch.randn(7, *sizes, dtype=torch.float64, requires_grad=True)
    present = torch.arange(7) != (3 if absent else 7)
    direction = torch.randn(7, *sizes, dtype=torch.float64)[present]
    found = ours(x, present if absent else None)[present]
    wanted = by_torch(theirs, x[present])
    torch.testing.assert_close(found, wanted)
    one, other = (torch.autograd.grad(out, [x, *norm.parameters()], direction)
                  for out, norm in ((found, ours), (wanted, theirs)))
    torch.testing.assert_close(one, other)
    for name, value in theirs.state_dict().items():
        torch.testing.assert_close(ours.state_dict()[name], value)


@pytest.mark.parametrize("count", [0, 1])
def test_without_statistics_the_running_ones_are_used_and_stay(count: int):
    ours, theirs = pair((5,))
    before = {name: value.clone() for name, value in ours.state_dict().items()}
    x = torch.randn(4, 5, dtype=torch.float64)
    found = ours.train()(x, torch.arange(4) < count)
    torch.testing.assert_close(found, theirs.eval()(x))
    assert all(torch.equal(value, before[name]) for name, value in ours.state_dict().items())


def test_half_precision_is_averaged_in_single():
    ours, _ = pair((5,))
    x = torch.randn(4, 5, dtype=torch.bfloat16)
    assert ours.bfloat16().train()(x).dtype == torch.bfloat16


def test_a_group_norm_of_single_values_has_one_group_and_works_for_a_lone_case() -> None:
    """A value normalised by itself is 0, whatever it is, which would cut the network."""
    norm = normalisation("group", shape_of((2,))).train()
    found = norm(torch.tensor([[1.0, 5.0]]))
    assert found[0, 0] < -0.9 and found[0, 1] > 0.9
    assert normalisation("group", shape_of((8, 1, 2))).num_groups == 8
    assert normalisation("group", shape_of((24,))).num_groups == 8
