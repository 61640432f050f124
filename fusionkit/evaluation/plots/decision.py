"""Decision curves: the net benefit of acting on predictions, on all and on none, at each threshold."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from fusionkit.evaluation.decision_curves import DecisionCurve
from fusionkit.evaluation.plots.head_figure import HeadFigure, Numbers, about
from fusionkit.evaluation.plots.style import GREY, PALETTE, panelled
from fusionkit.evaluation.report import HeadReport

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def _draw(report: HeadReport) -> Figure | None:
    if not report.curves.decisions:
        return None
    return decision_figure(report.curves.decisions, f"Decision curve: probabilities as predicted\n{about(report)}")


def _numbers(report: HeadReport) -> Numbers:
    columns = ("of", "threshold", "net benefit", "low", "high", "acting on all", "gain", "gain low", "gain high")
    return Numbers(columns, [
        (curve.benefit.name, *row) for curve in report.curves.decisions
        for row in zip(curve.benefit.thresholds, *(getattr(curve.numbers, name) for name in (
            "acting", "low", "high", "on_all", "gain", "gain_low", "gain_high")), strict=True)])


def decision_figure(panels: Sequence[DecisionCurve], title: str) -> Figure:
    """A panel for each curve; the range of thresholds is a default, and stands under the axis."""
    figure, parts = panelled(len(panels), 5.2, 4.4, title)
    for part, panel in zip(parts, panels, strict=False):
        axes, numbers, thresholds = part.subplots(), panel.numbers, panel.benefit.thresholds
        axes.axhline(0, color=GREY, linewidth=1, label="none")
        axes.plot(thresholds, numbers.on_all, color=PALETTE[1], linestyle="--", linewidth=1.4, label="all")
        axes.fill_between(thresholds, numbers.low, numbers.high, color=PALETTE[0], alpha=0.18, linewidth=0)
        axes.plot(thresholds, numbers.acting, color=PALETTE[0], linewidth=1.9, label="by prediction, 95 % interval")
        top = np.nanmax([0.05, *numbers.acting, *numbers.high])
        axes.set(xlim=(thresholds[0], thresholds[-1]), ylim=(-0.25 * top, 1.08 * top),
                 xlabel=f"threshold, {thresholds[0]:g} to {thresholds[-1]:g} by default", ylabel="net benefit")
        axes.set_title(panel.benefit.name, loc="left", fontsize=10)
        axes.legend(title="acting on", loc="best")
    return figure


FIGURE = HeadFigure("decision", _draw, _numbers)
