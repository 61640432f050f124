"""Cases by true and predicted class."""

from __future__ import annotations

from collections.abc import Sequence
from textwrap import wrap
from typing import TYPE_CHECKING, Any

import numpy as np

from fusionkit.evaluation.curves import Confusion
from fusionkit.evaluation.plots.head_figure import HeadFigure, Numbers, about
from fusionkit.evaluation.plots.style import fitting, panelled
from fusionkit.evaluation.report import HeadReport

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_CELLS_WITH_TEXT = 14
_CLASSES_WITH_NAMES = 40
_NAME_WIDTH = 22
_LETTERS_ACROSS = 34


def _draw(report: HeadReport) -> Figure | None:
    if not report.curves.confusion:
        return None
    return confusion_figure(report.curves.confusion, f"Confusion matrix: cases, % of the true class\n{about(report)}")


def _numbers(report: HeadReport) -> Numbers:
    return Numbers(("of", "true", "predicted", "cases"), [
        (matrix.name, matrix.classes[row], matrix.classes[column], count)
        for matrix in report.curves.confusion for (row, column), count in np.ndenumerate(matrix.counts)])


def confusion_figure(panels: Sequence[Confusion], title: str) -> Figure:
    """True classes in rows; each cell has its count and its share of the row, which is also its colour."""
    count_classes = len(panels[0].classes)
    size = min(3.2 + 0.62 * count_classes, 12.0)
    figure, parts = panelled(len(panels), size, size, title)
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


def _name(text: str) -> str:
    """A class name on at most two short lines."""
    lines = wrap(text, _NAME_WIDTH, break_long_words=True, max_lines=2, placeholder=" ...")
    return "\n".join(lines)


FIGURE = HeadFigure("confusion", _draw, _numbers)
