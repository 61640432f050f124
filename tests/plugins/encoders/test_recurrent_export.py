"""Recurrent encoders are exported for any number of cases and steps, and order padded steps as a stable sort does."""

from __future__ import annotations

import pytest
import torch
from fusionkit_plugins.blocks.recurrence import order_of, over_steps, places_of_steps
from fusionkit_plugins.encoders.gru import GRU, GRUConfig
from fusionkit_plugins.encoders.grud import GRUD, GRUDConfig
from fusionkit_plugins.encoders.lstm import LSTM, LSTMConfig
from torch import Tensor, nn

from fusionkit.api import MaskedSeries, MaskedTokens, Series
from fusionkit.network.quiet_tracing import quiet

TOKENS, SERIES = MaskedTokens((11, 3), ("x",)), MaskedSeries((11, 3), ("x",))


class OfParts(nn.Module):
    """An encoder of a series that takes its parts: values (B, t, c), observed (B, t, c), times (B, t)."""

    def __init__(self, module: nn.Module) -> None:
        super().__init__()
        self.module = module

    def forward(self, values: Tensor, observed: Tensor, time: Tensor, valid: Tensor) -> Tensor:
        found: Tensor = self.module(Series(values, observed, time), valid)
        return found


def given(cases: int, steps: int) -> tuple[Tensor, ...]:
    random = torch.Generator().manual_seed(cases)
    values = torch.randn(cases, steps, 3, generator=random)
    valid = torch.rand(cases, steps, generator=random) > 0.3
    return values, torch.rand(values.shape, generator=random) > 0.5, torch.rand(cases, steps, generator=random), valid


@pytest.mark.slow  # PyTorch's scan takes seconds to be traced
@pytest.mark.parametrize("kind", ["gru", "lstm", "grud"])
def test_an_export_takes_any_number_of_cases_and_steps(kind: str) -> None:
    torch.manual_seed(0)
    module: nn.Module
    if kind == "grud":
        module, pick = OfParts(GRUD(GRUDConfig(width=5), [SERIES])), slice(0, 4)
    else:
        made = GRU(GRUConfig(width=5, layers=2), [TOKENS]) if kind == "gru" else LSTM(
            LSTMConfig(width=5, layers=2), [TOKENS])
        module, pick = made, slice(0, 4, 3)
    sizes = {0: torch.export.Dim("batch", min=1), 1: torch.export.Dim.DYNAMIC}
    small = given(3, 4)[pick]
    with quiet(), torch.no_grad():  # as `fusionkit export` does
        program = torch.export.export(module.eval(), small, dynamic_shapes=(sizes,) * len(small), strict=False)
    for cases, steps in ((1, 2), (2, 13)):
        other = given(cases, steps)[pick]
        with torch.no_grad():
            assert torch.allclose(program.module()(*other), module(*other), atol=1e-6)
    assert any("scan" in str(node.target) for node in program.graph.nodes)


def test_real_steps_come_first_in_their_order() -> None:
    valid = torch.tensor([[False, True, False, True, True], [True] * 5, [False] * 5])
    assert order_of(valid).tolist() == torch.argsort((~valid).long(), dim=1, stable=True).tolist()
    assert places_of_steps(valid).tolist() == torch.argsort(order_of(valid), dim=1).tolist()


def test_steps_are_given_one_after_the_other() -> None:
    sums = over_steps(lambda states, new: (states[0] * 2 + new[0],), (torch.zeros(1, 1),),
                      (torch.tensor([[[1.0], [3.0], [5.0]]]),))
    assert sums.flatten().tolist() == [1, 5, 15]
