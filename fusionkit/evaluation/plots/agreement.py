"""What was observed of groups of cases against what was predicted of them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from fusionkit.components.task import Agreement
from fusionkit.evaluation.plots.head_figure import HeadFigure, Numbers, about
from fusionkit.evaluation.plots.style import PALETTE, diagonal, fitting, panelled, unit_square
from fusionkit.evaluation.report import HeadReport

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def _draw(report: HeadReport) -> Figure | None:
    if not report.curves.agreements:
        return None
    return agreement_figure(report.curves.agreements, f"Calibration: observed against predicted\n{about(report)}")


def _numbers(report: HeadReport) -> Numbers:
    return Numbers(("of", "cases", "predicted", "observed", "low", "high"), [
        (groups.name, *row) for groups in report.curves.agreements
        for row in [*zip(groups.count, groups.predicted, groups.observed, groups.low, groups.high, strict=True),
                    *_smooth_rows(groups)]])


def _smooth_rows(groups: Agreement) -> list[Sequence[object]]:
    """The curve through the groups, without a number of cases."""
    if groups.smooth is None:
        return []
    return [(None, float(predicted), float(observed), None, None)
            for predicted, observed in zip(*groups.smooth, strict=True)]


def agreement_figure(panels: Sequence[Agreement], title: str) -> Figure:
    """What was observed of groups of cases, with its bounds, against what was predicted of them."""
    figure, parts = panelled(len(panels), 4.7, 4.7 if panels[0].every is None else 5.7, title)
    for part, panel in zip(parts, panels, strict=False):
        if panel.every is None:
            axes = part.subplots()
        else:
            axes, below = part.subplots(2, 1, sharex=True, height_ratios=[5, 1])
            below.hist(panel.every, bins=np.linspace(0, 1, 41), color=PALETTE[5])
            below.set(ylabel="cases", xlabel="predicted")
        diagonal(axes)
        if panel.smooth is not None:
            axes.plot(*panel.smooth, color=PALETTE[1], linewidth=1.4, zorder=2, label="smooth curve")
            axes.legend(loc="upper left")
        there = ~np.isnan(panel.observed)
        observed, low, high = (values[there] for values in (panel.observed, panel.low, panel.high))
        axes.errorbar(panel.predicted[there], observed, [observed - low, high - observed], fmt="o", markersize=5,
                      capsize=3, linewidth=1.2, color=PALETTE[0], clip_on=False)
        unit_square(axes)
        axes.set_xlabel("predicted, mean of the group")
        axes.set_ylabel("observed, 95 % interval")
        few, many = panel.count[there].min(initial=panel.count.max()), panel.count[there].max(initial=0)
        told = f"{few}" if few >= many else f"{few} to {many}"
        axes.set_title(f"{fitting(panel.name, 52)}\n{told} cases in a group", loc="left", fontsize=10)
    return figure


FIGURE = HeadFigure("calibration", _draw, _numbers)
