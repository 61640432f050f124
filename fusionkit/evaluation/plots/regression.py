"""Predicted against true values."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from fusionkit.evaluation.curves import Pairs
from fusionkit.evaluation.plots.head_figure import HeadFigure, Numbers, about, metric_of, with_interval
from fusionkit.evaluation.plots.style import PALE, PALETTE, fitting, panelled
from fusionkit.evaluation.report import HeadReport

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def _draw(report: HeadReport) -> Figure | None:
    pairs = report.curves.pairs
    if not pairs:
        return None
    labels = ["\n".join((f"mean absolute error {with_interval(metric_of(report, pair.name, 'mae'))}",
                         f"R2 {with_interval(metric_of(report, pair.name, 'r2'))}")) for pair in pairs]
    return regression_figure(pairs, labels, f"Predicted against true values\n{about(report)}")


def _numbers(report: HeadReport) -> Numbers:
    return Numbers(("of", "true", "predicted"), [
        (pair.name, *point) for pair in report.curves.pairs for point in zip(pair.true, pair.predicted, strict=True)])


def regression_figure(panels: Sequence[Pairs], labels: Sequence[str], title: str) -> Figure:
    """Predicted against true values, on equal axes, with the line on which they are equal."""
    figure, parts = panelled(len(panels), 4.8, 4.8, title)
    for part, panel, label in zip(parts, panels, labels, strict=False):
        axes = part.subplots()
        values = np.concatenate([panel.true, panel.predicted])
        low, high = (float(values.min()), float(values.max())) if values.size else (0.0, 1.0)
        margin = 0.04 * (high - low) or 0.5
        ends = (low - margin, high + margin)
        axes.plot(ends, ends, color=PALE, linewidth=1, linestyle=(0, (4, 4)), zorder=1)
        dense = len(panel.true) > 300
        axes.scatter(
            panel.true,
            panel.predicted,
            s=9 if dense else 20,
            color=PALETTE[0],
            alpha=0.35 if dense else 0.6,
            linewidths=0,
            # An SVG with ten thousand circles is slow to open.
            rasterized=len(panel.true) > 2000,
        )
        axes.set(xlim=ends, ylim=ends, aspect="equal")
        axes.set(xlabel=fitting(f"true {panel.name}", 52), ylabel=fitting(f"predicted {panel.name}", 52))
        axes.set_title(label, loc="left", fontsize=10)
    return figure


FIGURE = HeadFigure("values", _draw, _numbers)
