"""Observed frequency against predicted probability, by bins."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from fusionkit.arrays import Floats
from fusionkit.components.weighted import CALIBRATION_BINS, CALIBRATION_EDGES
from fusionkit.evaluation.curves import Reliability
from fusionkit.evaluation.plots.head_figure import HeadFigure, Numbers, about, metric_of, with_interval
from fusionkit.evaluation.plots.style import PALETTE, diagonal, fitting, panelled, unit_square
from fusionkit.evaluation.report import HeadReport

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

def _draw(report: HeadReport) -> Figure | None:
    if not any(panel.count.any() for panel in report.curves.reliability):
        return None
    panels = [*report.curves.reliability, *report.recalibrated]
    return reliability_figure(panels, _labels(report), f"Calibration: observed against predicted\n{about(report)}")


def _labels(report: HeadReport) -> list[str]:
    """The title of each panel of bins; those after calibration follow those before."""
    labels = [f"calibration error\n{with_interval(metric_of(report, panel.name, 'ece'))}"
              for panel in report.curves.reliability]
    if not report.recalibrated:
        return labels
    after = "after temperature scaling"
    if report.declared_task.results == "classes" and len(report.classes) > 2:
        after = f"after: calibration error\n{with_interval(report.trust.figures['after', 'ece'])}"
    return [f"before: {label}" for label in labels] + [after] * len(report.recalibrated)


def _numbers(report: HeadReport) -> Numbers:
    stages = {"as predicted": report.curves.reliability, "calibrated": report.recalibrated}
    bins: list[tuple[object, ...]] = [
        (panel.name, stage, "bin", *row) for stage, panels in stages.items() for panel in panels
        for row in zip(CALIBRATION_EDGES[:-1], CALIBRATION_EDGES[1:], panel.count, panel.predicted, panel.observed,
                       strict=True)]
    curves: list[tuple[object, ...]] = [
        (panel.name, stage, name, None, None, None, *point) for stage, panels in stages.items() for panel in panels
        for name, curve in _curves(panel).items() for point in zip(*curve, strict=True)]
    return Numbers(("of", "probabilities", "row", "from", "to", "cases", "predicted", "observed"), [*bins, *curves])


def _curves(panel: Reliability) -> dict[str, tuple[Floats, Floats]]:
    """The smooth curves by name, at most three."""
    if panel.smooth is None:
        return {}
    points = panel.smooth[0]
    every = {"spline": panel.smooth, **{name: (points, curve) for name, curve in panel.others.items()}}
    return dict(list(every.items())[:3])


def reliability_figure(panels: Sequence[Reliability], labels: Sequence[str], title: str) -> Figure:
    """Observed frequency against predicted probability, above the count of cases in each bin."""
    figure, parts = panelled(len(panels), 4.7, 5.9, title)
    for part, panel, label in zip(parts, panels, labels, strict=False):
        above, below = part.subplots(2, 1, sharex=True, height_ratios=[4, 1])
        held = panel.count > 0
        predicted, observed = panel.predicted[held], panel.observed[held]
        diagonal(above)
        above.plot(predicted, observed, color=PALETTE[0], linewidth=1.2, clip_on=False)
        # Bins with few cases get small points, so that they do not draw attention.
        sizes = 12 + 70 * panel.count[held] / panel.count.max(initial=1)
        above.scatter(predicted, observed, s=sizes, color=PALETTE[0], clip_on=False, zorder=3)
        for place, (name, curve) in enumerate(_curves(panel).items()):
            above.plot(*curve, color=PALETTE[1 + place], linewidth=1.4, linestyle=("-", "--", ":")[min(place, 2)],
                       clip_on=False, label=name)
        if _curves(panel):
            above.legend(loc="upper left")
        unit_square(above)
        above.set_ylabel("observed frequency")
        above.set_title(label, loc="left", fontsize=10)
        _count_bars(below, panel)
    return figure


def _count_bars(axes: Axes, panel: Reliability) -> None:
    middle = (CALIBRATION_EDGES[:-1] + CALIBRATION_EDGES[1:]) / 2
    bars = axes.bar(middle, panel.count, width=0.9 / CALIBRATION_BINS, color=PALETTE[5])
    numbers = [str(count) if count else "" for count in panel.count]
    # Numbers on neighbouring bars must not touch.
    axes.bar_label(bars, numbers, padding=2, fontsize=8 if panel.count.max() < 1000 else 6)
    axes.set_ylim(0, max(panel.count.max() * 1.35, 1))
    axes.set_yticks([])
    axes.spines["left"].set_visible(False)
    axes.set_xlabel(fitting(f"predicted probability of {panel.name}", 52))
    axes.set_ylabel("cases")


FIGURE = HeadFigure("calibration", _draw, _numbers)
