"""ROC, reliability, confusion and regression plots as PNG and SVG, without pyplot and its global state."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from textwrap import wrap
from typing import TYPE_CHECKING, Any

import numpy as np

from fusionkit.components.task import Agreement
from fusionkit.components.weighted import CALIBRATION_BINS, CALIBRATION_EDGES
from fusionkit.evaluation.curves import Confusion, Pairs, Reliability, Roc
from fusionkit.evaluation.uncertainty_metrics import Risk
from fusionkit.files import replacing
from fusionkit.printable import printable

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure, SubFigure

# Okabe and Ito 2008, Color Universal Design; its yellow is left out, being too faint on white.
PALETTE = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
_LINE_STYLES = ("-", "--", "-.", ":")
_GREY, _PALE = "#555555", "#BBBBBB"
# With more, names and numbers would be too small to read.
_CURVES_IN_LEGEND = 12
_LEGEND_TITLE = "area under the curve, AUROC (95 % interval)"
_TITLE_WIDTH = 60
_CELLS_WITH_TEXT = 14
_CLASSES_WITH_NAMES = 40
_NAME_WIDTH = 22
_LETTERS_ACROSS = 34
_MOST_PANELS = 16

# Any, because matplotlib's own type lists only the settings of its own version.
_STYLE: Any = {
    "font.family": "sans-serif",
    "font.sans-serif": ["DejaVu Sans"],
    "font.size": 10,
    "axes.titlesize": 11,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.edgecolor": _GREY,
    "legend.frameon": False,
    "legend.fontsize": 9,
    # A dollar sign in a class name does not start a formula.
    "text.parse_math": False,
    # Files are reproducible.
    "svg.hashsalt": "fusionkit",
}


@contextmanager
def style() -> Iterator[None]:
    """Our settings while a figure is made and saved; the caller's settings are restored afterwards."""
    import matplotlib

    with matplotlib.rc_context(_STYLE), warnings.catch_warnings():
        # A script that the font lacks shows as boxes; names in the tables are still right.
        warnings.filterwarnings("ignore", message="Glyph .* missing from font", category=UserWarning)
        yield


def save(figure: Figure, stem: Path, kinds: Sequence[str] = (".png", ".svg")) -> list[Path]:
    """The figure as `stem`.png and `stem`.svg, each written to a temporary file and then renamed."""
    _without_control_characters(figure)
    # Each save would compute the layout again, which takes longer than drawing.
    figure.draw_without_rendering()
    figure.set_layout_engine("none")
    written = []
    unstamped = {".png": {"Software": None}, ".svg": {"Date": None, "Creator": None}}
    for suffix in kinds:
        target = stem.with_name(stem.name + suffix)
        with replacing(target) as aside:
            figure.savefig(aside, format=suffix[1:], dpi=160, metadata=unstamped[suffix], bbox_inches="tight",
                           pad_inches=0.12)
        written.append(target)
    return written


def _without_control_characters(figure: Figure) -> None:
    """Names come from tables and graphs, and a single control character makes an SVG invalid."""
    from matplotlib.text import Text

    for part in figure.findobj(Text):
        text = part.get_text()
        shown = printable(text)
        if shown != text:
            part.set_text(shown)


def roc_figure(curves: Sequence[Roc], labels: Sequence[str], title: str, summary: str = "") -> Figure:
    """One curve for each class; `labels` are its legend entries, `summary` replaces them if there are many."""
    many = len(curves) > _CURVES_IN_LEGEND
    inside = len(curves) <= 4 and max(map(len, labels), default=0) <= 46
    figure = _figure(5.2, 5.2 if many or inside else 5.6 + 0.19 * len(curves))
    axes = figure.add_subplot()
    axes.plot([0, 1], [0, 1], color=_PALE, linewidth=1, linestyle=(0, (4, 4)), zorder=1)
    for index, (curve, label) in enumerate(zip(curves, labels, strict=True)):
        look = _many_look() if many else _look(index)
        axes.plot(curve.false_positive_rate, curve.true_positive_rate, label=label, clip_on=False, zorder=3, **look)
    _unit_square(axes)
    axes.set_aspect("equal")
    axes.set(xlabel="false positive rate (1 - specificity)", ylabel="true positive rate (sensitivity)")
    axes.set_title(_title(title), loc="left")
    if many:
        axes.text(0.98, 0.03, summary, transform=axes.transAxes, ha="right", va="bottom", fontsize=9)
    elif inside:
        axes.legend(loc="lower right", title=_LEGEND_TITLE, handlelength=2.6, alignment="left")
    else:
        figure.legend(loc="outside lower left", title=_LEGEND_TITLE, handlelength=2.6, alignment="left")
    return figure


def reliability_figure(panels: Sequence[Reliability], labels: Sequence[str], title: str) -> Figure:
    """Observed frequency against predicted probability, above the count of cases in each bin."""
    figure, parts = _panels(len(panels), 4.7, 5.9, title)
    for part, panel, label in zip(parts, panels, labels, strict=False):
        above, below = part.subplots(2, 1, sharex=True, height_ratios=[4, 1])
        held = panel.count > 0
        predicted, observed = panel.predicted[held], panel.observed[held]
        above.plot([0, 1], [0, 1], color=_PALE, linewidth=1, linestyle=(0, (4, 4)), zorder=1)
        above.plot(predicted, observed, color=PALETTE[0], linewidth=1.2, clip_on=False)
        # Bins with few cases get small points, so that they do not draw attention.
        sizes = 12 + 70 * panel.count[held] / panel.count.max(initial=1)
        above.scatter(predicted, observed, s=sizes, color=PALETTE[0], clip_on=False, zorder=3)
        _unit_square(above)
        above.set_ylabel("observed frequency")
        above.set_title(label, loc="left", fontsize=10)
        _count_bars(below, panel)
    return figure


def agreement_figure(panels: Sequence[Agreement], title: str) -> Figure:
    """What was observed of groups of cases, with its bounds, against what was predicted of them."""
    figure, parts = _panels(len(panels), 4.7, 4.7, title)
    for part, panel in zip(parts, panels, strict=False):
        axes = part.subplots()
        axes.plot([0, 1], [0, 1], color=_PALE, linewidth=1, linestyle=(0, (4, 4)), zorder=1)
        there = ~np.isnan(panel.observed)
        observed, low, high = (values[there] for values in (panel.observed, panel.low, panel.high))
        axes.errorbar(panel.predicted[there], observed, [observed - low, high - observed], fmt="o", markersize=5,
                      capsize=3, linewidth=1.2, color=PALETTE[0], clip_on=False)
        _unit_square(axes)
        axes.set_xlabel("predicted, mean of the group")
        axes.set_ylabel("observed, 95 % interval")
        groups = ", ".join(str(count) for count in panel.count[there])
        axes.set_title(fitting(f"{panel.name}; cases by group: {groups}", 52), loc="left", fontsize=10)
    return figure


def risk_figure(risks: Sequence[Risk], labels: Sequence[str], title: str) -> Figure:
    """The error rate when only the most confident cases are kept, with that of all cases and the lowest possible.

    The lowest possible is that of a measure that ranks every correct case above every error.
    """
    figure = _figure(5.6, 4.6)
    axes = figure.add_subplot()
    overall = float(risks[0].risk[-1])
    share = np.linspace(0.002, 1, 400)
    best = np.maximum(0, share - (1 - overall)) / share
    axes.plot(share, best, color=_PALE, linewidth=1.2, linestyle=(0, (1, 2)), zorder=1,
              label="lowest possible: every error ranked last")
    axes.axhline(overall, color=_PALE, linewidth=1, linestyle=(0, (4, 4)), zorder=1,
                 label=f"all cases kept: error rate {overall:.3f}")
    for index, (risk, label) in enumerate(zip(risks, labels, strict=True)):
        axes.plot(risk.coverage, risk.risk, label=label, drawstyle="steps-post", zorder=3, **_look(index))
    top = max(overall, *(float(risk.risk.max()) for risk in risks))
    axes.set(xlim=(0, 1), ylim=(0, 1.05 * top or 1), xlabel="coverage: fraction of cases kept, most confident first",
             ylabel="error rate among the cases kept")
    axes.set_title(_title(title), loc="left")
    figure.legend(loc="outside lower left", handlelength=2.6)
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


def confusion_figure(panels: Sequence[Confusion], title: str) -> Figure:
    """True classes in rows; each cell has its count and its share of the row, which is also its colour."""
    count_classes = len(panels[0].classes)
    size = min(3.2 + 0.62 * count_classes, 12.0)
    figure, parts = _panels(len(panels), size, size, title)
    for part, panel in zip(parts, panels, strict=False):
        axes = part.subplots()
        total = panel.counts.sum(axis=1, keepdims=True)
        share = np.divide(panel.counts, total, out=np.zeros(panel.counts.shape), where=total > 0)
        shown = axes.imshow(share, cmap="Blues", vmin=0, vmax=1)
        if count_classes <= _CELLS_WITH_TEXT:
            _cell_texts(axes, panel, share)
        else:
            part.colorbar(shown, ax=axes, shrink=0.6, label="fraction of the true class")
        _class_ticks(axes, panel.classes)
        axes.set(xlabel="predicted class", ylabel="true class")
        axes.set_title(fitting(panel.name, 44), loc="left", fontsize=10)
        axes.spines[:].set_visible(False)
        axes.set_anchor("N")
    return figure


def _cell_texts(axes: Axes, panel: Confusion, share: Any) -> None:
    large = len(panel.classes) <= 6
    for (row, column), count in np.ndenumerate(panel.counts):
        percent = f"{100 * share[row, column]:.0f} %" if panel.counts[row].sum() else "-"
        axes.text(
            column,
            row,
            f"{count}\n{percent}",
            ha="center",
            va="center",
            fontsize=11 if large else 8,
            color="white" if share[row, column] > 0.55 else "black",
        )


def _class_ticks(axes: Axes, classes: Sequence[str]) -> None:
    if len(classes) > _CLASSES_WITH_NAMES:
        return
    names = [_name(name) for name in classes]
    tilt = max(len(line) for name in names for line in name.splitlines()) > _LETTERS_ACROSS / len(classes)
    places = range(len(classes))
    axes.set_xticks(places, names, rotation=40 if tilt else 0, ha="right" if tilt else "center", rotation_mode="anchor")
    axes.set_yticks(places, names)
    axes.tick_params(length=0, labelsize=10 if len(classes) <= 10 else 8)


def regression_figure(panels: Sequence[Pairs], labels: Sequence[str], title: str) -> Figure:
    """Predicted against true values, on equal axes, with the line on which they are equal."""
    figure, parts = _panels(len(panels), 4.8, 4.8, title)
    for part, panel, label in zip(parts, panels, labels, strict=False):
        axes = part.subplots()
        values = np.concatenate([panel.true, panel.predicted])
        low, high = (float(values.min()), float(values.max())) if values.size else (0.0, 1.0)
        margin = 0.04 * (high - low) or 0.5
        ends = (low - margin, high + margin)
        axes.plot(ends, ends, color=_PALE, linewidth=1, linestyle=(0, (4, 4)), zorder=1)
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


def _panels(count: int, width: float, height: float, title: str) -> tuple[Figure, list[Figure | SubFigure]]:
    """A figure with a subfigure for each panel, at most four in a row; the title says if some are left out."""
    if count > _MOST_PANELS:
        count, title = _MOST_PANELS, f"{title} (the first {_MOST_PANELS} of {count})"
    across = min(count, 4)
    down = -(-count // across)
    scale = 1.0 if count == 1 else 0.8
    figure = _figure(scale * width * across, scale * height * down)
    figure.suptitle(_title(title, int(12 * scale * width * across)), x=0.02, ha="left", fontsize=11)
    if count == 1:
        return figure, [figure]
    return figure, list(figure.subfigures(down, across, squeeze=False).flat)[:count]


def _figure(width: float, height: float) -> Figure:
    from matplotlib.figure import Figure

    return Figure(figsize=(width, height), layout="constrained")


def _unit_square(axes: Axes) -> None:
    ticks = np.linspace(0, 1, 6)
    axes.set(xlim=(0, 1), ylim=(0, 1), xticks=ticks, yticks=ticks)


def _look(index: int) -> dict[str, Any]:
    """Colour and dash together distinguish all curves of a legend; neighbours differ in both."""
    return {
        "color": PALETTE[index % len(PALETTE)],
        "linestyle": _LINE_STYLES[(index + 2 * (index // len(PALETTE))) % len(_LINE_STYLES)],
        "linewidth": 1.9,
    }


def _many_look() -> dict[str, Any]:
    return {"color": PALETTE[0], "linewidth": 0.8, "alpha": 0.45}


def _title(text: str, width: int = _TITLE_WIDTH) -> str:
    """A title wrapped to the width."""
    return "\n".join(fitting(line, width) for line in text.splitlines())


def _name(text: str) -> str:
    """A class name on at most two short lines."""
    lines = wrap(text, _NAME_WIDTH, break_long_words=True, max_lines=2, placeholder=" ...")
    return "\n".join(lines)


def fitting(text: str, width: int) -> str:
    """The text, truncated if it is longer than `width`."""
    return text if len(text) <= width else text[: width - 4].rstrip() + " ..."
