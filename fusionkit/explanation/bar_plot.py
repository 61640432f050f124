"""Bars for the share of each modality: one group for each case or class, a colour for each modality."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from textwrap import fill
from typing import TYPE_CHECKING, Any

from fusionkit.evaluation.formatting import MetricResult, figures
from fusionkit.evaluation.plots.style import PALETTE, fitting

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

MOST_GROUPS = 16
_GREY = "#555555"
_THICK = 0.8


@dataclass(frozen=True)
class BarGroup:
    """One group of bars: its label, a bar for each modality (None where it is missing), and the text next to it.
    """

    label: str
    bars: tuple[MetricResult | None, ...]
    beside: str = ""


@dataclass(frozen=True)
class Panel:
    """Groups of bars with one title and one axis."""

    title: str
    axis: str
    rows: tuple[BarGroup, ...]


def bars_figure(panels: Sequence[Panel], names: Sequence[str], title: Sequence[str]) -> Figure:
    """Adjacent panels with their groups in the same order and the modalities in the legend."""
    from matplotlib.figure import Figure
    from matplotlib.patches import Patch

    count = min(len(panels[0].rows), MOST_GROUPS)
    wide = 4.3 * len(panels) + 2.2
    figure = Figure(figsize=(wide, 1.5 + 0.2 * len(title) + count * (0.26 + 0.17 * len(names))), layout="constrained")
    lines = [fill(line, int(wide * 12.5), break_on_hyphens=False) for line in title]
    if len(panels[0].rows) > count:
        lines.append(f"the first {count} of {len(panels[0].rows)}")
    figure.suptitle("\n".join(lines), x=0.02, ha="left", fontsize=10)
    places: Any = figure.subplots(1, len(panels), sharey=True, squeeze=False)
    for axes, panel in zip(places[0], panels, strict=True):
        _panel(axes, panel.rows[:count], len(names))
        axes.set_title(panel.title, loc="left", fontsize=9.5)
        axes.set_xlabel(panel.axis, fontsize=9)
    labels = [row.label for row in panels[0].rows[:count]]
    places[0][0].set_yticks(range(count), [fill(label, 30) for label in labels])
    places[0][0].set_ylim(count - 0.45, -0.55)
    keys = [Patch(color=PALETTE[place % len(PALETTE)], label=fitting(name, 40)) for place, name in enumerate(names)]
    figure.legend(handles=keys, loc="outside lower left", ncols=min(4, len(keys)))
    return figure


def _panel(axes: Axes, rows: Sequence[BarGroup], count: int) -> None:
    thick = _THICK / count
    ends = [0.0]
    for at, row in enumerate(rows):
        for place, bar in enumerate(row.bars):
            y = at - _THICK / 2 + (place + 0.5) * thick
            if bar is None or bar.value is None:
                axes.text(0, y, "  missing" if bar is None else "  no case", va="center", fontsize=7.5, color=_GREY)
                continue
            axes.barh(y, bar.value, height=0.88 * thick, color=PALETTE[place % len(PALETTE)])
            low, high = (bar.value if end is None else end for end in (bar.low, bar.high))
            if high > low:
                axes.plot([low, high], [y, y], color="black", linewidth=1)
            ends += [low, high, bar.value]
    span = max(ends) - min(ends) or 1.0
    for at, row in enumerate(rows):
        for place, bar in enumerate(row.bars):
            if bar is not None and bar.value is not None:
                _number(axes, bar, at - _THICK / 2 + (place + 0.5) * thick, 0.015 * span)
        if row.beside:
            axes.annotate(row.beside, (1.0, at), xycoords=("axes fraction", "data"), xytext=(6, 0),
                          textcoords="offset points", va="center", fontsize=8, color=_GREY, annotation_clip=False)
    axes.axvline(0, color=_GREY, linewidth=0.8)
    # Space for the numbers beyond the bars.
    axes.set_xlim(min(ends) - (0.2 * span if min(ends) < 0 else 0), max(ends) + 0.2 * span)
    axes.tick_params(axis="y", length=0)
    axes.spines["left"].set_visible(False)


def _number(axes: Axes, bar: MetricResult, y: float, gap: float) -> None:
    """The value beyond the end of its bar and of its interval."""
    assert bar.value is not None
    down = bar.value < 0
    ends = [end for end in (bar.value, bar.low, bar.high) if end is not None]
    x = min(ends) - gap if down else max(ends) + gap
    axes.text(x, y, figures(bar.value).replace("-0.000", "0.000"), va="center", ha="right" if down else "left",
              fontsize=7.5)
