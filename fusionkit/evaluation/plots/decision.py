"""Decision curves: the net benefit of acting on predictions, on all and on none, at each threshold."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import fields
from typing import TYPE_CHECKING

import numpy as np

from fusionkit.evaluation.decision_curves import Benefits, DecisionCurve
from fusionkit.evaluation.plots.head_figure import HeadFigure, Numbers, about
from fusionkit.evaluation.plots.style import GREY, PALETTE, fitting, panelled
from fusionkit.evaluation.report import HeadReport

if TYPE_CHECKING:
    from matplotlib.figure import Figure

SHOWN = (0.05, 0.5)
"""The range that is drawn; which thresholds matter is for those who decide."""


def _draw(report: HeadReport) -> Figure | None:
    if not report.curves.decisions:
        return None
    return decision_figure(report.curves.decisions, f"Decision curve: probabilities as predicted\n{about(report)}")


def _numbers(report: HeadReport) -> Numbers:
    columns = [part.name for part in fields(Benefits)]
    return Numbers(("of", "threshold", *columns), [
        (curve.benefit.name, *row) for curve in report.curves.decisions
        for row in zip(curve.benefit.thresholds, *(getattr(curve.numbers, name) for name in columns), strict=True)])


def decision_figure(panels: Sequence[DecisionCurve], title: str) -> Figure:
    """A panel for each curve; the range of thresholds is a default, and stands under the axis."""
    figure, parts = panelled(len(panels), 5.2, 4.4, title)
    for part, panel in zip(parts, panels, strict=False):
        axes, numbers = part.subplots(), panel.numbers
        shown = (panel.benefit.thresholds > SHOWN[0] - 1e-9) & (panel.benefit.thresholds < SHOWN[1] + 1e-9)
        at, acting, low, high, on_all = (values[shown] for values in (
            panel.benefit.thresholds, numbers.acting, numbers.low, numbers.high, numbers.on_all))
        axes.axhline(0, color=GREY, linewidth=1, label="none")
        axes.plot(at, on_all, color=PALETTE[1], linestyle="--", linewidth=1.4, label="all")
        axes.fill_between(at, low, high, color=PALETTE[0], alpha=0.18, linewidth=0)
        axes.plot(at, acting, color=PALETTE[0], linewidth=1.9, label="by prediction, 95 % interval")
        top = np.nanmax([0.05, *acting, *high])
        axes.set(xlim=SHOWN, ylim=(-0.25 * top, 1.08 * top),
                 xlabel=f"threshold, {SHOWN[0]:g} to {SHOWN[1]:g} by default", ylabel="net benefit")
        axes.set_title(fitting(panel.benefit.name, 40), loc="left", fontsize=10)
        axes.legend(title="acting on", loc="best")
    return figure


FIGURE = HeadFigure("decision", _draw, _numbers)
