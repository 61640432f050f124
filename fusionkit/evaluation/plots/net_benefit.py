"""Decision curves: net benefit against the threshold, beside treating all or none."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from fusionkit.evaluation.decision_curve import SHOWN
from fusionkit.evaluation.plots.head_figure import HeadFigure, Numbers, about
from fusionkit.evaluation.plots.style import GREY, fitting, look, panelled
from fusionkit.evaluation.report import HeadReport

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def _draw(report: HeadReport) -> Figure | None:
    if not report.decisions:
        return None
    title = (f"Decision curve, thresholds {SHOWN[0]:g} to {SHOWN[1]:g} by default, probabilities as predicted\n"
             f"{about(report)}")
    figure, panels = panelled(len(report.decisions), 5.4, 4.6, title)
    for curve, panel in zip(report.decisions, panels, strict=False):
        axes = panel.add_subplot()
        shown = (curve.thresholds >= SHOWN[0] - 1e-9) & (curve.thresholds <= SHOWN[1] + 1e-9)
        at = curve.thresholds[shown]
        axes.fill_between(at, curve.low[shown], curve.high[shown], color=look(0)["color"], alpha=0.15, linewidth=0)
        axes.plot(at, curve.net_benefit[shown], label="by the network (95 % interval)", **look(0))
        axes.plot(at, curve.treat_all[shown], label="treat all", **look(1))
        axes.axhline(0, color=GREY, linewidth=1, label="treat none")
        top = max(curve.prevalence, float(np.nanmax(curve.net_benefit[shown])))
        axes.set(xlabel="threshold probability", ylabel="net benefit", xlim=SHOWN, ylim=(-0.25 * top - 0.01,
                                                                                       1.1 * top + 0.01))
        axes.set_title(fitting(curve.name, 40), loc="left")
        axes.legend(loc="upper right")
    return figure


def _numbers(report: HeadReport) -> Numbers:
    columns = ("of", "threshold", "net_benefit", "low", "high", "treat_all", "treat_none", "gain", "gain_low",
               "gain_high", "standardised", "interventions_avoided")
    return Numbers(columns, [
        (curve.name, *row) for curve in report.decisions
        for row in zip(curve.thresholds, curve.net_benefit, curve.low, curve.high, curve.treat_all,
                       np.zeros(len(curve.thresholds)), curve.gain, curve.gain_low, curve.gain_high,
                       curve.standardised, curve.avoided, strict=True)])


FIGURE = HeadFigure("decision", _draw, _numbers)
