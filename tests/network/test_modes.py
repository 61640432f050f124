"""Modules in one mode for a while."""

from __future__ import annotations

import pytest
from torch import nn

from fusionkit.network.modes import in_mode


def test_modes_come_back_after_an_error_and_children_keep_theirs() -> None:
    outer = nn.Sequential(nn.Dropout(), nn.BatchNorm1d(3).eval())
    with pytest.raises(ValueError, match="stop"), in_mode([outer], training=False):
        assert [part.training for part in outer.modules()] == [False, True, False]
        raise ValueError("stop")
    assert [part.training for part in outer.modules()] == [True, True, False]
