"""The table of figures: what is drawn of a head, in this order. A further figure is a module and a line here."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

from fusionkit.evaluation.plots import (
    agreement,
    bland_altman,
    confusion,
    decision,
    group_curves,
    precision_recall,
    regression,
    reliability,
    risk,
    roc,
    style,
)
from fusionkit.evaluation.plots.head_figure import HeadFigure, write_numbers
from fusionkit.evaluation.report import HeadReport

FIGURES: Sequence[HeadFigure] = (
    roc.FIGURE,
    precision_recall.FIGURE,
    reliability.FIGURE,
    agreement.FIGURE,
    group_curves.FIGURE,
    decision.FIGURE,
    risk.FIGURE,
    confusion.FIGURE,
    regression.FIGURE,
    bland_altman.FIGURE,
)


def draw_figures(report: HeadReport, folder: Path) -> list[Path]:
    """Write the figures that apply to this head, each with the numbers behind it; returns the paths."""
    # A head's name comes from a file: it must not lead out of the folder.
    stem = re.sub(r"[^\w-]+", "_", report.head)
    written = []
    with style.applied():
        for entry in FIGURES:
            figure = entry.draw(report)
            if figure is not None:
                target = folder / f"{stem}-{entry.name}"
                written += style.save(figure, target)
                written.append(write_numbers(entry.numbers(report), target.with_name(target.name + ".csv")))
    return written
