"""The rank plot: the metric of every network, the best on top, and its difference from the reference."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from fusionkit.comparison.scoring import HeadRanking, ScoreRow

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from fusionkit.evaluation.differences import Difference
    from fusionkit.evaluation.formatting import MetricResult

_LETTERS = 34
_LABELS = {"reference": "reference: the graph as written", "candidate": "candidate", "single": "one input alone",
           "baseline": "simple fusion", "table": "scikit-learn on the tables",
           "pretrained": "a pretrained model on the tables", "constant": "constant"}


def plain_stem(head: str) -> str:
    """The start of a file name for a head: head names come from a file, and must not lead out of the folder."""
    return re.sub(r"[^\w-]+", "_", head)


def stem_of(head: str) -> str:
    """The file name of a head's plot."""
    return f"{plain_stem(head)}-rank"


def draw_ranks(folder: Path, ranking: Sequence[HeadRanking]) -> list[Path]:
    """Draw the plot of each head as `HEAD-rank`, PNG and SVG."""
    from fusionkit.evaluation.plots import style

    written = []
    with style.applied():
        for each in ranking:
            written.extend(style.save(rank_figure(each), folder / stem_of(each.head.name)))
    return written


def rank_figure(ranking: HeadRanking) -> Figure:
    """Two panels with a row for each network, the best on top; none for a network without a value."""
    from matplotlib.figure import Figure
    from matplotlib.ticker import MaxNLocator

    from fusionkit.evaluation.plots.style import fitting

    rows = [row for row in ranking.rows if row.metric.value is not None]
    figure = Figure(figsize=(9.4, 1.9 + 0.34 * len(rows)), layout="constrained")
    left, right = figure.subplots(1, 2, sharey=True, width_ratios=[1.15, 1])
    places = np.arange(len(rows))[::-1]
    for place, row in zip(places, rows, strict=True):
        assert row.metric.value is not None, "rows without a value were left out; please report"
        _mark(left, place, row, row.metric.value, interval=(row.metric.low, row.metric.high))
        found = row.difference
        if found is not None and found.value is not None:
            _mark(right, place, row, found.value, interval=(found.low, found.high), filled=found.clear)
    reference = next((row for row in rows if row.difference is None), None)
    if reference is not None and reference.metric.value is not None:
        left.axvline(reference.metric.value, color="#BBBBBB", linewidth=1, linestyle=(0, (4, 4)), zorder=0)
    right.axvline(0, color="#BBBBBB", linewidth=1, linestyle=(0, (4, 4)), zorder=0)
    left.set_yticks(places, [fitting(row.name, _LETTERS) for row in rows])
    left.set_ylim(-0.7, len(rows) - 0.3)
    better = "smaller is better" if ranking.lower_is_better else "larger is better"
    left.set(xlabel=f"{ranking.label} ({better}), 95 % interval")
    right.set(xlabel=f"difference in {ranking.label} from the reference, 95 % interval")
    for axes in (left, right):
        axes.grid(axis="y", color="#EEEEEE", linewidth=0.8)
        axes.tick_params(axis="y", length=0)
        axes.set_axisbelow(True)
        axes.margins(x=0.06)
        axes.xaxis.set_major_locator(MaxNLocator(5))
        axes.spines["left"].set_visible(False)
    _magnify(left, [(place, row.kind, row.metric) for place, row in zip(places, rows, strict=True)])
    _magnify(right, [(place, row.kind, row.difference) for place, row in zip(places, rows, strict=True)
                     if row.difference is not None], [0.0])
    title = f"{ranking.label} of head {ranking.head.name}, {ranking.cases} test cases"
    left.set_title(fitting(title, 60), loc="left")
    right.set_title("filled marker: p < 0.05 after Holm's correction", loc="left", fontsize=9, color="#555555")
    _legend(figure, rows)
    return figure


def _magnify(axes: Axes, shown: Sequence[tuple[int, str, MetricResult | Difference]], also: Sequence[float] = ()
             ) -> None:
    """Let the networks fill a panel of which a constant prediction far away would take most; its value is written.

    `also` are other values that stay in sight.
    """
    ends = [end for _, kind, found in shown if kind != "constant"
            for end in (found.low, found.value, found.high, *also) if end is not None]
    far = [(place, found.value) for place, kind, found in shown if kind == "constant" and found.value is not None]
    if not ends or not far:
        return
    (place, value), low, high = far[0], min(ends), max(ends)
    wide = high - low
    if wide > 0 and not low - wide <= value <= high + wide:
        axes.set_xlim(low - 0.06 * wide, high + 0.06 * wide)
        under = value < low
        axes.annotate(f"{'<' if under else ''} {value:.3f} {'' if under else '>'}", (0.01 if under else 0.99, place),
                      xycoords=("axes fraction", "data"), ha="left" if under else "right", va="center", fontsize=8,
                      color=look_of("constant")[0])


def _mark(axes: Axes, place: int, row: ScoreRow, value: float, *,
          interval: tuple[float | None, float | None], filled: bool = True) -> None:
    """A point with its interval; an open point is a difference that is not significant."""
    low, high = interval
    colour, marker = look_of(row.kind)
    bounds = [[max(value - (value if low is None else low), 0)], [max((value if high is None else high) - value, 0)]]
    axes.errorbar(value, place, xerr=bounds, fmt=marker, markersize=6, capsize=2.5, linewidth=1.3, color=colour,
                  markerfacecolor=colour if filled else "white", markeredgecolor=colour, markeredgewidth=1.2)


def look_of(kind: str) -> tuple[str, str]:
    """The colour and the marker of a kind of row."""
    from fusionkit.evaluation.plots.style import PALETTE

    return {"reference": (PALETTE[6], "D"), "candidate": (PALETTE[0], "o"), "single": (PALETTE[2], "s"),
            "baseline": (PALETTE[3], "v"), "table": (PALETTE[1], "^"), "pretrained": (PALETTE[5], "P"),
            "constant": (PALETTE[4], "x")}[kind]


def _legend(figure: Figure, rows: Sequence[ScoreRow]) -> None:
    from matplotlib.lines import Line2D

    kinds = [kind for kind in _LABELS if any(row.kind == kind for row in rows)]
    handles = [Line2D([], [], color=look_of(kind)[0], marker=look_of(kind)[1], linestyle="none", label=_LABELS[kind])
               for kind in kinds]
    figure.legend(handles=handles, loc="outside lower center", ncols=len(kinds))
