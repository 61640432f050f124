"""Modules in one mode for a while."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from fusionkit.layers.modes import in_mode, recomputed_norms, running_statistics, training_norms


def test_modes_come_back_after_an_error_and_children_keep_theirs() -> None:
    outer = nn.Sequential(nn.Dropout(), nn.BatchNorm1d(3).eval())
    with pytest.raises(ValueError, match="stop"), in_mode([outer], training=False):
        assert [part.training for part in outer.modules()] == [False, True, False]
        raise ValueError("stop")
    assert [part.training for part in outer.modules()] == [True, True, False]


def test_of_a_lone_row_norms_take_and_keep_their_running_statistics_and_dropout_goes_on() -> None:
    frozen = nn.BatchNorm1d(3).eval()
    module = nn.Sequential(nn.BatchNorm1d(3), frozen, nn.Dropout())
    learning = module[0]
    assert training_norms(module) == [learning]
    row = torch.ones(1, 3)
    with running_statistics(module):
        assert learning(row).allclose(row)
        assert [part.training for part in module] == [False, False, True]
    assert [part.training for part in module] == [True, False, True]
    assert learning.num_batches_tracked == 0


def test_norms_repeat_what_they_did_and_count_no_batch_twice() -> None:
    learning, held = nn.BatchNorm1d(3), nn.BatchNorm1d(3).eval()
    module, rows = nn.Sequential(learning, held), torch.arange(15.0).reshape(5, 3).square()
    first, again = module(rows), recomputed_norms(module)
    before = {name: value.clone() for name, value in module.state_dict().items()}
    held.train()
    with again:
        assert torch.equal(module(rows), first)
    assert held.training
    assert learning.momentum == 0.1
    assert all(torch.equal(before[name], value) for name, value in module.state_dict().items())
    assert set(module.state_dict()) == set(before)
    module(rows)
    assert learning.num_batches_tracked == 2
