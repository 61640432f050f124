"""The picture of absent inputs: the metric of every network over the rate at which inputs are left out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from fusionkit.comparison.missing_rates import AtRate
from fusionkit.comparison.rank_plot import look_of, plain_stem

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_LETTERS, _MOST_NAMED, _MARKERS = 34, 12, "osv^PX*hDd<>"


def missing_stem(head: str) -> str:
    """The file name of a head's picture."""
    return f"{plain_stem(head)}-absent"


def draw_missing(folder: Path, found: Mapping[str, Sequence[AtRate]]) -> None:
    """Draw the picture of each head as `HEAD-absent`, PNG and SVG."""
    from fusionkit.evaluation.plots import style

    with style.applied():
        for head, rates in found.items():
            style.save(missing_figure(rates), folder / missing_stem(head))


def missing_figure(found: Sequence[AtRate]) -> Figure:
    """One line for each network, with the 95 % intervals; the best ones are named, the others are thin and grey."""
    from matplotlib.figure import Figure

    from fusionkit.evaluation.plots.style import PALE, PALETTE, fitting

    rows = found[0].ranking.rows
    figure = Figure(figsize=(8.4, 4.8), layout="constrained")
    axes = figure.add_subplot()
    span = max(each.rate for each in found) or 1.0
    reference = [row for row in rows if row.kind == "reference"]
    named = [*reference, *(row for row in rows if row.kind != "reference")][:_MOST_NAMED]
    for place, row in enumerate(rows):
        at = [(each.rate, own.metric) for each in found
              for own in each.ranking.rows if own.name == row.name and own.metric.value is not None]
        values = [metric.value or 0.0 for _, metric in at]
        if row not in named:
            axes.plot([rate for rate, _ in at], values, color=PALE, linewidth=0.8, zorder=0)
            continue
        colour = look_of(row.kind)[0] if row.kind == "reference" else PALETTE[named.index(row) % 6]
        bounds = [[max(value - (value if metric.low is None else metric.low), 0)
                   for value, (_, metric) in zip(values, at, strict=True)],
                  [max((value if metric.high is None else metric.high) - value, 0)
                   for value, (_, metric) in zip(values, at, strict=True)]]
        # Next to each other, or their intervals would overlap.
        shift = span * 0.03 * ((place + 0.5) / len(rows) - 0.5)
        axes.errorbar([rate + shift for rate, _ in at], values, bounds, color=colour, marker=_MARKERS[place % 12],
                      markersize=5, capsize=2, linewidth=1.4, elinewidth=0.9, label=fitting(row.name, _LETTERS))
    ranking = found[0].ranking
    better = "smaller is better" if ranking.lower_is_better else "larger is better"
    axes.set(xlabel="probability with which an input of a test case is left out",
             ylabel=f"{ranking.label} ({better}), 95 % interval", xticks=[each.rate for each in found])
    axes.set_title(fitting(f"{ranking.label} of head {ranking.head.name} without some inputs", 60), loc="left")
    figure.legend(loc="outside right upper", fontsize=8)
    return figure
