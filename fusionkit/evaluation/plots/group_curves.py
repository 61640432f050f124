"""Curves of groups of cases: steps with bands, ticks of censoring, and the numbers at risk under the axis."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

import numpy as np

from fusionkit.components.figures import GroupCurve, GroupCurves
from fusionkit.evaluation.plots.head_figure import HeadFigure, Numbers, about, metric_of, with_interval
from fusionkit.evaluation.plots.style import look, panelled
from fusionkit.evaluation.report import HeadReport

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_MEANS = "rmst_difference"


def _draw(report: HeadReport) -> Figure | None:
    if not report.curves.groups:
        return None
    means = metric_of(report, "", _MEANS)
    line = f"difference in mean survival time {with_interval(means)}" if means.value is not None else ""
    return group_figure(report.curves.groups, f"Groups by predicted risk\n{about(report)}", line, report.unit)


def _numbers(report: HeadReport) -> Numbers:
    return Numbers(("of", "group", "row", "time", "share", "low", "high", "at risk"),
                   [row for panel in report.curves.groups for row in _rows(panel)])


def _rows(panel: GroupCurves) -> Iterator[Sequence[object]]:
    """Steps, then censorings, then numbers at risk of each group."""
    for group in panel.groups:
        for step in zip(group.times, group.share, group.low, group.high, strict=True):
            yield panel.name, group.name, "step", *step, None
        for time in group.censored:
            yield panel.name, group.name, "censored", time, None, None, None, None
        for mark, count in zip(panel.marks, group.at_risk, strict=True):
            yield panel.name, group.name, "at risk", mark, None, None, None, int(count)


def group_figure(panels: Sequence[GroupCurves], title: str, line: str = "", unit: str = "") -> Figure:
    """A panel for each division into groups; `line` is added to the notes of the first, `unit` is that of the times."""
    figure, parts = panelled(len(panels), 5.6, 5.4, title)
    for place, (part, panel) in enumerate(zip(parts, panels, strict=False)):
        above, below = part.subplots(2, 1, sharex=True, height_ratios=[9, 0.6 + 0.5 * len(panel.groups)])
        for number, group in enumerate(panel.groups):
            _draw_group(above, group, number)
        # The lowest risk is drawn first, and usually lies highest.
        above.set(ylim=(0, 1.02), xlim=(0, panel.marks[-1] * 1.04), ylabel="share without the event, 95 % bands")
        above.legend(loc="upper right", title="risk")
        above.set_xlabel(f"time, {unit}" if unit else "time")
        above.tick_params(labelbottom=True)
        notes = [*panel.notes, *([line] if line and not place else [])]
        lines = [panel.name, "; ".join(notes[:2]), *notes[2:]]
        above.set_title("\n".join(filter(None, lines)), loc="left", fontsize=8.5)
        _draw_numbers(below, panel)
    return figure


def _draw_group(axes: Axes, group: GroupCurve, number: int) -> None:
    times = np.concatenate([[0.0], group.times, [group.end]])
    lines = [np.concatenate([[1.0], values, values[-1:] if len(values) else [1.0]])
             for values in (group.share, group.low, group.high)]
    style = look(number)
    axes.step(times, lines[0], where="post", label=group.name, **style)
    axes.fill_between(times, lines[1], lines[2], step="post", color=style["color"], alpha=0.15, linewidth=0)
    left = group.censored[group.censored <= group.end]
    axes.plot(left, lines[0][np.searchsorted(group.times, left, side="right")], linestyle="", marker="|",
              markersize=6, color=style["color"])


def _draw_numbers(axes: Axes, panel: GroupCurves) -> None:
    axes.set(ylim=(len(panel.groups) - 0.4, -0.8), yticks=range(len(panel.groups)),
             yticklabels=[group.name for group in panel.groups])
    axes.set_title("cases at risk", loc="left", fontsize=8.5)
    for row, group in enumerate(panel.groups):
        for mark, count in zip(panel.marks, group.at_risk, strict=True):
            axes.text(mark, row, str(int(count)), ha="center", va="center", fontsize=8.5)
    axes.spines[:].set_visible(False)
    axes.tick_params(length=0, labelbottom=False, pad=14)


FIGURE = HeadFigure("kaplan-meier", _draw, _numbers)
