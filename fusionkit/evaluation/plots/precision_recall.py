"""Precision against recall in steps, with the share of the class, which chance gives, and the operating point."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fusionkit.evaluation.plots.head_figure import HeadFigure, Numbers, about, metric_of
from fusionkit.evaluation.plots.style import GREY, fitting, look, panelled, unit_square
from fusionkit.evaluation.report import HeadReport

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def _draw(report: HeadReport) -> Figure | None:
    curves = [curve for curve in report.curves.precision_recall if curve.recall.size]
    if not curves:
        return None
    figure, panels = panelled(len(curves), 5.0, 4.8, f"Precision and recall\n{about(report)}")
    for curve, panel in zip(curves, panels, strict=False):
        axes = panel.add_subplot()
        label = f"average precision {metric_of(report, curve.name, 'ap')}"
        axes.step(curve.recall, curve.precision, where="pre", label=label, clip_on=False, zorder=3, **look(0))
        axes.axhline(curve.prevalence, color=GREY, linewidth=1, linestyle="--",
                     label=f"chance: the share of the class, {curve.prevalence:.3f}")
        if curve.point is not None:
            axes.plot(*curve.point, "o", color=look(1)["color"], label="where it decides", zorder=4, clip_on=False)
        unit_square(axes)
        axes.set(xlabel="recall (sensitivity)", ylabel="precision (PPV)")
        axes.set_title(fitting(curve.name, 40), loc="left")
        axes.legend(loc="lower left")
    return figure


def _numbers(report: HeadReport) -> Numbers:
    return Numbers(("of", "threshold", "recall", "precision", "prevalence"), [
        (curve.name, *row, curve.prevalence) for curve in report.curves.precision_recall
        for row in zip(curve.threshold, curve.recall, curve.precision, strict=True)])


FIGURE = HeadFigure("precision-recall", _draw, _numbers)
