"""The ranks of all networks as a picture: the mean rank of each, and lines beside those not shown to differ."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from fusionkit.comparison.rank_order import RankOrder
from fusionkit.comparison.rank_plot import plain_stem

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_LETTERS = 34


def order_stem(head: str) -> str:
    """The file name of a head's picture."""
    return f"{plain_stem(head)}-order"


def draw_orders(folder: Path, found: Mapping[str, RankOrder]) -> None:
    """Draw the picture of each head as `HEAD-order`, PNG and SVG."""
    from fusionkit.evaluation.plots import style

    with style.applied():
        for head, order in found.items():
            style.save(order_figure(order), folder / order_stem(head))


def order_figure(order: RankOrder) -> Figure:
    """A row for each network, the best on top; a line beside the rows of every group, and Nemenyi's difference."""
    from matplotlib.figure import Figure

    from fusionkit.evaluation.plots.style import GREY, PALE, PALETTE, fitting

    count = len(order.names)
    places = np.arange(count)[::-1]
    figure = Figure(figsize=(8.4, 1.6 + 0.28 * count), layout="constrained")
    left, right = figure.subplots(1, 2, sharey=True, width_ratios=[2.4, 1])
    left.plot(order.ranks, places, linestyle="none", marker="o", color=PALETTE[0])
    middle = float(np.mean([1, count]))
    half = order.critical / 2
    left.errorbar([middle], [-1.0], xerr=[[half], [half]], color=GREY, capsize=3, fmt="none")
    left.annotate("Nemenyi's critical difference", (middle, -1.0), (0, 4), textcoords="offset points", ha="center",
                  fontsize=7.5, color=GREY)
    left.set_yticks(places, [fitting(name, _LETTERS) for name in order.names])
    left.set(ylim=(-1.6, count - 0.4), xlim=(0.7, count + 0.3), xlabel=f"mean rank over {order.count} folds, 1 is best")
    left.grid(axis="y", color="#EEEEEE", linewidth=0.8)
    for number, (first, last) in enumerate(order.groups):
        right.plot([number, number], [places[first] + 0.2, places[last] - 0.2], color=PALETTE[6], linewidth=3,
                   solid_capstyle="butt")
        right.annotate("abcdefghijklmnopqrstuvwxyz"[number % 26], (number, places[first] + 0.25), ha="center",
                       va="bottom", fontsize=8)
    right.set(xlim=(-1, max(len(order.groups), 4)), xticks=[], xlabel="joined: not shown to differ")
    for axes in (left, right):
        axes.tick_params(axis="y", length=0)
        axes.spines["left"].set_visible(False)
    right.spines["bottom"].set_color(PALE)
    return figure
