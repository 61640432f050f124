"""How each network of a comparison learned: losses by epoch over its folds, and whether it was trained to an end."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Any

import numpy as np

from fusionkit.arrays import Floats
from fusionkit.comparison.candidates import ComparisonPlan
from fusionkit.comparison.train import RUNS
from fusionkit.runs.training_mark import Curve, curves_of, training_mark

if TYPE_CHECKING:
    from matplotlib.axes import Axes

STEM = "learning-curves"
_MOST, _COLUMNS, _LETTERS = 24, 4, 26


@dataclass(frozen=True)
class Learned:
    """The histories of all networks that were trained for one row, and the note if some were not trained to an end."""

    curves: Sequence[Curve]
    mark: str

    def losses(self, watched: bool) -> tuple[Sequence[int], Floats]:
        """The mean training loss, or validation loss, of every epoch that any network has, over those that have it."""
        found: dict[int, list[float]] = {}
        for curve in self.curves:
            own = curve.watched if watched else dict(enumerate(curve.losses, start=1))
            for epoch, loss in own.items():
                found.setdefault(epoch, []).append(loss)
        epochs = sorted(found)
        return epochs, np.array([np.mean(found[epoch]) for epoch in epochs])

    def to_json(self) -> dict[str, Any]:
        """What the table says, as plain data."""
        return {"networks": len(self.curves), "epochs": max(len(each.losses) for each in self.curves),
                "best_epoch": median(each.best for each in self.curves), "trained_out": not self.mark,
                "overfitted": sum(each.overfitted for each in self.curves), "note": self.mark or None}


def learned_by(comparison: ComparisonPlan, folder: Path) -> dict[str, Learned]:
    """What the runs of each candidate say of their training, by name; candidates without any are left out."""
    found = {}
    for each in comparison.candidates:
        own = folder / RUNS / each.folder
        if curves := list(curves_of(own)):
            found[each.name] = Learned(curves, training_mark(own))
    return found


def learning_table(found: Mapping[str, Learned]) -> tuple[list[str], list[list[str]]]:
    """How far every row was trained: columns and rows."""
    rows = []
    for name, each in found.items():
        told = each.to_json()
        rows.append([name, str(told["networks"]), str(told["epochs"]), f"{told['best_epoch']:g}",
                     str(told["overfitted"]) if any(curve.watched for curve in each.curves) else "not watched",
                     each.mark or "yes"])
    return ["", "networks", "epochs", "best epoch, median", "overfitted", "trained out"], rows


def draw_learning(folder: Path, found: Mapping[str, Learned]) -> None:
    """Draw `learning-curves`, PNG and SVG: a panel for each row, the first ones where there are too many."""
    from matplotlib.figure import Figure
    from matplotlib.ticker import MaxNLocator

    from fusionkit.evaluation.plots import style

    shown = list(found.items())[:_MOST]
    if not shown:
        return
    across = min(_COLUMNS, len(shown))
    down = -(-len(shown) // across)
    with style.applied():
        figure = Figure(figsize=(2.6 * across + 0.4, 1.9 * down + 0.7), layout="constrained")
        panels = figure.subplots(down, across, squeeze=False).ravel()
        for axes, (name, each) in zip(panels, shown, strict=False):
            _panel(axes, each)
            axes.set_title(style.fitting(name, _LETTERS), loc="left", fontsize=8.5,
                           color=style.PALETTE[1] if each.mark else "#1a1a1a")
            axes.xaxis.set_major_locator(MaxNLocator(3, integer=True))
            axes.tick_params(labelsize=7)
        for axes in panels[len(shown):]:
            axes.set_axis_off()
        figure.supxlabel("epoch", fontsize=9)
        figure.supylabel("loss, mean over cases and networks", fontsize=9)
        handles, labels = panels[0].get_legend_handles_labels()
        figure.legend(handles, labels, loc="outside upper right", ncols=2, fontsize=8)
        style.save(figure, folder / STEM)


def _panel(axes: Axes, found: Learned) -> None:
    """Training and validation loss of one row; its best epochs as a line at their median."""
    from fusionkit.evaluation.plots.style import PALE, PALETTE

    axes.axvline(float(median(curve.best for curve in found.curves)), color=PALE, linewidth=1, linestyle=(0, (4, 4)))
    for watched, label, colour in ((False, "training", PALETTE[0]), (True, "validation", PALETTE[1])):
        epochs, losses = found.losses(watched)
        if epochs:
            axes.plot(epochs, losses, color=colour, linewidth=1.3, label=label,
                      marker="o" if len(epochs) < 3 else None, markersize=3)


def learning_texts(found: Mapping[str, Learned]) -> list[str]:
    """How to read the curves."""
    texts = ["Each panel has the losses of all networks of a row, averaged over those that have the epoch; the dashed "
             "line is the median of the epochs whose weights were kept. A title in colour: not trained out.",
             "A row that is not trained out may be better with more epochs, and its rank says little."]
    left = list(found)[_MOST:]
    return [*texts, f"Not drawn: {', '.join(left)}."] if left else texts
