"""MedFuse: exactly torch's packed LSTM, for every way in which inputs can be absent."""

from __future__ import annotations

from itertools import product

import torch
from fusionkit_plugins.fusions.medfuse import component
from torch import nn
from torch.nn.utils.rnn import pack_sequence

WIDTHS = (5, 7, 3)
WAYS = torch.tensor([way for way in product((False, True), repeat=3) if any(way)])
INPUTS = [torch.randn(len(WAYS), width, dtype=torch.float64) for width in WIDTHS]


def packed(module: nn.Module, present: torch.Tensor) -> torch.Tensor:
    """The same by an LSTM over sequences of the present inputs alone."""
    lstm = nn.LSTM(5, module.cell.hidden_size, batch_first=True).double()
    lstm.load_state_dict({f"{name}_l0": value for name, value in module.cell.state_dict().items()})
    steps = [layer(x) for layer, x in zip(module.project, INPUTS, strict=True)]
    rows = [torch.stack([step[row] for step, there in zip(steps, mask, strict=True) if there])
            for row, mask in enumerate(present.tolist())]
    return lstm(pack_sequence(rows, enforce_sorted=False))[1][0][0]


def test_absent_inputs_are_left_out_as_if_packed(build):
    module = build(component, *INPUTS, width=11).double()
    torch.testing.assert_close(module(*INPUTS, present=WAYS), packed(module, WAYS), rtol=1e-12, atol=1e-12)


def test_rows_with_nothing_present_give_zeros(build):
    module = build(component, *INPUTS, width=11).double()
    assert not module(*INPUTS, present=torch.zeros_like(WAYS)).any()


def test_the_order_matters(build):
    module = build(component, *INPUTS[:1] * 2, width=11).double()
    one, other = INPUTS[0], INPUTS[0].flip(0)
    assert not torch.allclose(module(one, other), module(other, one))


def test_the_first_input_is_read_as_it_is_unless_steps_have_a_width(build):
    assert isinstance(build(component, *INPUTS).project[0], nn.Identity)
    assert build(component, *INPUTS, step_width=13).project[0].out_features == 13


def test_the_published_size(build, count):
    heads = (3 * 32 + 3) + (3 * 20 + 3)
    assert count(build(component, torch.empty(1, 16), torch.empty(1, 20), width=20)) + heads == 3538
