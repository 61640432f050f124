"""The rank plot shows differences between networks also beside a prediction that is far from all of them."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from fusionkit.comparison.rank_plot import rank_figure


def row(kind: str, value: float, against: float | None) -> Any:
    found = SimpleNamespace(value=value, low=value - 0.003, high=value + 0.002)
    apart = None if against is None else SimpleNamespace(value=value - against, low=value - against - 0.003,
                                                         high=value - against + 0.002, clear=False)
    return SimpleNamespace(name=kind, kind=kind, metric=found, difference=apart)


def panels(constant: float) -> list[Any]:
    rows = (row("candidate", 0.98, 0.97), row("reference", 0.97, None), row("constant", constant, 0.97))
    ranking: Any = SimpleNamespace(rows=rows, lower_is_better=False, label="AUROC", head=SimpleNamespace(name="a"),
                                   cases=7)
    return rank_figure(ranking).axes


@pytest.mark.parametrize("constant", [0.5, 0.965, 1.7])
def test_a_constant_far_away_is_written_and_takes_no_room(constant: float) -> None:
    left, right = panels(constant)
    low, high = left.get_xlim()
    near = constant == 0.965
    assert low < 0.967 and high > 0.981
    assert bool(low < constant < high) is near and high - low < 0.03
    texts = [[text.get_text().strip() for text in axes.texts] for axes in (left, right)]
    assert texts == ([[], []] if near else [["< 0.500"], ["< -0.470"]] if constant < 0.9 else
                     [["1.700 >"], ["0.730 >"]])
