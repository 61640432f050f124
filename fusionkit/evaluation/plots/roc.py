"""ROC curves, one for each class."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from fusionkit.evaluation.curves import Roc
from fusionkit.evaluation.formatting import MetricResult
from fusionkit.evaluation.plots.head_figure import HeadFigure, Numbers, about, metric_of
from fusionkit.evaluation.plots.style import blank, diagonal, fitting, look, many_look, titled, unit_square
from fusionkit.evaluation.report import HeadReport

if TYPE_CHECKING:
    from matplotlib.figure import Figure

# With more, names and numbers would be too small to read.
_CURVES_IN_LEGEND = 12
_LEGEND_TITLE = "area under the curve, AUROC (95 % interval)"


def _draw(report: HeadReport) -> Figure | None:
    curves = report.curves.roc
    if not any(curve.true_positive_rate.size for curve in curves):
        return None
    labels = [f"{fitting(curve.name, 40)}: {metric_of(report, curve.name, 'auroc')}" for curve in curves]
    summary = f"{len(labels)} curves\nmean AUROC {report.metrics.get('auroc', MetricResult(None))}"
    return roc_figure(curves, labels, f"ROC curve\n{about(report)}", summary)


def _numbers(report: HeadReport) -> Numbers:
    return Numbers(("of", "false_positive_rate", "true_positive_rate"), [
        (curve.name, *point) for curve in report.curves.roc
        for point in zip(curve.false_positive_rate, curve.true_positive_rate, strict=True)])


def roc_figure(curves: Sequence[Roc], labels: Sequence[str], title: str, summary: str = "") -> Figure:
    """One curve for each class; `labels` are its legend entries, `summary` replaces them if there are many."""
    many = len(curves) > _CURVES_IN_LEGEND
    inside = len(curves) <= 4 and max(map(len, labels), default=0) <= 46
    figure = blank(5.2, 5.2 if many or inside else 5.6 + 0.19 * len(curves))
    axes = figure.add_subplot()
    diagonal(axes)
    for index, (curve, label) in enumerate(zip(curves, labels, strict=True)):
        line = many_look() if many else look(index)
        axes.plot(curve.false_positive_rate, curve.true_positive_rate, label=label, clip_on=False, zorder=3, **line)
    unit_square(axes)
    axes.set_aspect("equal")
    axes.set(xlabel="false positive rate (1 - specificity)", ylabel="true positive rate (sensitivity)")
    axes.set_title(titled(title), loc="left")
    if many:
        axes.text(0.98, 0.03, summary, transform=axes.transAxes, ha="right", va="bottom", fontsize=9)
    elif inside:
        axes.legend(loc="lower right", title=_LEGEND_TITLE, handlelength=2.6, alignment="left")
    else:
        figure.legend(loc="outside lower left", title=_LEGEND_TITLE, handlelength=2.6, alignment="left")
    return figure


FIGURE = HeadFigure("roc", _draw, _numbers)
