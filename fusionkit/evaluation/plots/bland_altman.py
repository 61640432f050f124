"""Bland-Altman: predicted minus true against the mean of both, with the bias and the limits of agreement."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Literal

import numpy as np

from fusionkit.evaluation.curves import Pairs
from fusionkit.evaluation.formatting import MetricResult, figures
from fusionkit.evaluation.limits_of_agreement import agreement_of
from fusionkit.evaluation.plots.head_figure import HeadFigure, Numbers, about, metric_of
from fusionkit.evaluation.plots.style import GREY, PALE, PALETTE, fitting, panelled
from fusionkit.evaluation.report import HeadReport

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_LINES = ("bias", "limit_low", "limit_high")
Line = tuple[float, float, float]
"""A value and the ends of its interval."""


def lines_of(report: HeadReport, pair: Pairs) -> dict[str, Line]:
    """Bias and limits with their intervals: those of the report, over patients, where some patients have several
    cases; else by Student's distribution.
    """
    found = agreement_of(pair.true, pair.predicted)
    lines = {"bias": (found.bias, *found.bias_interval), "limit_low": (found.low, *found.low_interval),
             "limit_high": (found.high, *found.high_interval)}
    if report.counts.patients in (None, report.counts.cases):
        return lines
    resampled = {name: metric_of(report, pair.name, name) for name in _LINES}
    return {name: (line[0], *_ends(resampled[name])) for name, line in lines.items()}


def _ends(metric: MetricResult) -> tuple[float, float]:
    return (np.nan if metric.low is None else metric.low, np.nan if metric.high is None else metric.high)


def _draw(report: HeadReport) -> Figure | None:
    pairs = [pair for pair in report.curves.pairs if len(pair.true) > 1]
    if not pairs:
        return None
    unit = f", {report.unit}" if report.unit else ""
    return bland_altman_figure(pairs, [lines_of(report, pair) for pair in pairs],
                               f"Predicted minus true values{unit}\n{about(report)}")


def _numbers(report: HeadReport) -> Numbers:
    rows: list[Sequence[object]] = []
    for pair in report.curves.pairs:
        if len(pair.true) > 1:
            rows += [(pair.name, name, None, value, low, high) for name, (value, low, high)
                     in lines_of(report, pair).items()]
            rows.append((pair.name, "slope", None, agreement_of(pair.true, pair.predicted).slope, None, None))
        rows += [(pair.name, "case", float(middle), float(difference), None, None) for middle, difference
                 in zip((pair.true + pair.predicted) / 2, pair.predicted - pair.true, strict=True)]
    return Numbers(("of", "what", "mean", "difference", "low", "high"), rows)


def bland_altman_figure(panels: Sequence[Pairs], lines: Sequence[dict[str, Line]], title: str,
                        x: Literal["mean", "target"] = "mean") -> Figure:
    """Differences against the mean of both values; with `x` of `target` against the true ones, which slopes by itself.

    `lines` are those of each panel: value and interval of the bias and of both limits.
    """
    figure, parts = panelled(len(panels), 5.2, 4.2, title)
    for part, panel, drawn in zip(parts, panels, lines, strict=False):
        axes = part.subplots()
        differences = panel.predicted - panel.true
        dense = len(panel.true) > 300
        axes.axhline(0, color=PALE, linewidth=1, zorder=1)
        for name, (value, low, high) in drawn.items():
            colour = PALETTE[1] if name == "bias" else GREY
            axes.axhline(value, color=colour, linewidth=1.2, linestyle="-" if name == "bias" else (0, (5, 3)), zorder=2)
            if np.isfinite([low, high]).all():
                axes.axhspan(low, high, color=colour, alpha=0.12, linewidth=0, zorder=0)
            axes.annotate(figures(value), (1, value), xycoords=axes.get_yaxis_transform(), xytext=(3, 0),
                          textcoords="offset points", va="center", fontsize=8, color=colour)
        axes.scatter((panel.true + panel.predicted) / 2 if x == "mean" else panel.true, differences,
                     s=9 if dense else 20, color=PALETTE[0], alpha=0.35 if dense else 0.6, linewidths=0,
                     # An SVG with ten thousand circles is slow to open.
                     rasterized=len(panel.true) > 2000)
        of = "mean of true and predicted" if x == "mean" else "true"
        axes.set(xlabel=fitting(f"{of} {panel.name}", 52), ylabel=fitting(f"predicted - true {panel.name}", 52))
        slope = agreement_of(panel.true, panel.predicted).slope
        told = f"slope of the difference on the mean {figures(slope)}" if np.isfinite(slope) else "all values are equal"
        warned = "\ndifferences from the true value slope by themselves" if x == "target" else ""
        axes.set_title(f"bias and limits of agreement\n{told}{warned}", loc="left", fontsize=10)
    return figure


FIGURE = HeadFigure("bland-altman", _draw, _numbers)
