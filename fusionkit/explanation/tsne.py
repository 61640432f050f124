"""t-SNE: the features of all cases embedded in two dimensions with neighbours kept close, coloured by class.

Source: van der Maaten and Hinton 2008, Visualizing Data using t-SNE, Journal of Machine Learning Research 9;
computed by scikit-learn.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from textwrap import fill
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from fusionkit.arrays import Floats
from fusionkit.evaluation.plots import PALETTE, fitting

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from matplotlib.lines import Line2D

LEAST = 10
"""With fewer cases there is no picture: with a perplexity below 3 all arrangements are equally good."""
_MARKS = ("o", "s", "^", "D", "v", "P")
_UNKNOWN = "#BBBBBB"


@dataclass(frozen=True)
class Scatter:
    """Cases in the plane: `points` (N, 2), the class name of each, and whether the head's prediction is wrong.

    `values` (N,) are numbers to show if there are no classes. `classes` is the order of the legend.
    """

    points: Floats
    labels: tuple[str, ...]
    wrong: NDArray[np.bool_]
    classes: tuple[str, ...]
    perplexity: float
    values: Floats | None = None


def perplexity_of(count: int) -> float:
    """The effective number of neighbours of a case: 30, or a third of the other cases if they are few."""
    return min(30.0, (count - 1) / 3)


def embed(features: Floats, seed: int = 0) -> Floats:
    """Features embedded in the plane, without scaling. *Shapes*: (N, w) gives (N, 2)."""
    from sklearn.manifold import TSNE

    start = "pca" if features.shape[1] > 1 else "random"
    found: Floats = TSNE(n_components=2, perplexity=perplexity_of(len(features)), init=start, learning_rate="auto",
                         random_state=seed).fit_transform(features).astype(np.float64)
    return found


def why_not(features: Floats) -> str | None:
    """Why these features cannot be drawn, None if they can."""
    if len(features) < LEAST:
        return f"{len(features)} cases are too few for a t-SNE picture, which needs {LEAST}"
    if not np.isfinite(features).all():
        return "some features are not finite"
    same = features.std(axis=0) <= 1e-12 * np.abs(features).max(initial=1.0)
    return "all cases have the same features there" if same.all() else None


def scatter_figure(made: Scatter, title: Sequence[str]) -> Figure:
    """The cases as points, coloured by class; wrong predictions are ringed."""
    from matplotlib.figure import Figure
    from matplotlib.lines import Line2D

    figure = Figure(figsize=(6.4, 5.4), layout="constrained")
    axes = figure.add_subplot()
    size = float(np.clip(2600 / len(made.points), 12, 46))
    if made.values is not None:
        shown = axes.scatter(made.points[:, 0], made.points[:, 1], c=made.values, s=size, cmap="viridis", linewidths=0)
        figure.colorbar(shown, ax=axes, shrink=0.85, label=made.classes[0])
        keys = []
    else:
        keys = _classes(made, axes, size)
    if made.wrong.any():
        axes.scatter(made.points[made.wrong, 0], made.points[made.wrong, 1], s=2.6 * size, facecolors="none",
                     edgecolors="black", linewidths=0.9)
        keys.append(Line2D([], [], linestyle="", marker="o", markerfacecolor="none", markeredgecolor="black",
                           markersize=9, label=f"wrong prediction ({int(made.wrong.sum())})"))
    axes.set(xticks=[], yticks=[])
    axes.set_aspect("equal", adjustable="datalim")
    axes.spines[:].set(visible=True, edgecolor=_UNKNOWN)
    axes.set_xlabel(f"t-SNE dimension 1 (no unit); {len(made.points)} cases, perplexity {made.perplexity:.3g}\n"
                    "Neighbours are similar; distances between groups have no meaning.", fontsize=8.5)
    axes.set_ylabel("t-SNE dimension 2 (no unit)", fontsize=8.5)
    figure.suptitle("\n".join(fill(line, 78, break_on_hyphens=False) for line in title), x=0.02, ha="left", fontsize=10)
    if keys:
        figure.legend(handles=keys, loc="outside right upper")
    return figure


def _classes(made: Scatter, axes: Axes, size: float) -> list[Line2D]:
    from matplotlib.lines import Line2D

    keys: list[Line2D] = []
    labels = np.array(made.labels)
    names = [*made.classes, *(name for name in dict.fromkeys(made.labels) if name not in made.classes)]
    for index, name in enumerate(names):
        mine = made.points[labels == name]
        if not len(mine):
            continue
        known = name in made.classes
        colour = PALETTE[index % len(PALETTE)] if known else _UNKNOWN
        mark = _MARKS[(index // len(PALETTE)) % len(_MARKS)] if known else "x"
        axes.scatter(mine[:, 0], mine[:, 1], s=size, color=colour, marker=mark, alpha=0.8, linewidths=0 if known else 1)
        keys.append(Line2D([], [], linestyle="", marker=mark, color=colour, markersize=6,
                           label=f"{fitting(name, 26)} ({len(mine)})"))
    return keys
