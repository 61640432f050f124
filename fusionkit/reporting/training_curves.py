"""The losses of every epoch as a figure, from the histories of a run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from fusionkit.evaluation.plots import style
from fusionkit.evaluation.plots.head_figure import Numbers, write_numbers
from fusionkit.reporting.run_files import RunFiles

STEM = "training-curves"
_LOSSES = ("train_loss", "validation_loss")
_MOST = 8


def draw_training(run: RunFiles, folder: Path) -> list[Path]:
    """Write the figure of training and validation loss by epoch with its numbers; nothing without a history."""
    histories = list(run.histories.items())[:_MOST]
    curves = {f"{name} {loss}".strip(): points for name, rows in histories
              for loss in _LOSSES if (points := _points(rows, loss))}
    # Of folds the two losses of each have one colour, and all of a kind one dash.
    looks = {f"{name} {loss}".strip(): style.look(kind) if len(histories) == 1 else {
        **style.look(place), "linestyle": ("-", "--")[kind]}
             for place, (name, _) in enumerate(histories) for kind, loss in enumerate(_LOSSES)}
    if not curves:
        return []
    from matplotlib.ticker import MaxNLocator

    with style.applied():
        figure = style.blank(7.2, 3.6)
        axes = figure.add_subplot()
        for label, points in curves.items():
            axes.plot(*zip(*points, strict=True), label=label.replace("_", " "),
                      marker="o" if len(points) < 3 else None, **looks[label])
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        axes.set(xlabel="epoch", ylabel="loss, mean over cases")
        axes.set_title(style.titled(f"Training of {run.name}"), loc="left")
        figure.legend(loc="outside right upper", fontsize=8)
        written = style.save(figure, folder / STEM)
    numbers = Numbers(("curve", "epoch", "loss"), [(label, *point) for label, points in curves.items()
                                                    for point in points])
    return [*written, write_numbers(numbers, folder / f"{STEM}.csv")]


def _points(rows: Sequence[Mapping[str, str]], loss: str) -> list[tuple[int, float]]:
    found = []
    for row in rows:
        try:
            found.append((int(row["epoch"]), float(row[loss])))
        except (KeyError, ValueError, TypeError):
            continue
    return found
