"""t-SNE: the features of all cases embedded in two dimensions with neighbours kept close, coloured by class.

The output of a node, averaged over positions. Of several networks it shows the first, since their features cannot be
compared; of a run of folds it is drawn fold by fold.

Source: van der Maaten and Hinton 2008, Visualizing Data using t-SNE, Journal of Machine Learning Research 9;
computed by scikit-learn.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from textwrap import fill
from typing import TYPE_CHECKING, Any

import numpy as np
from pydantic import Field

from fusionkit.api import Bools, Config, Explanation, Floats
from fusionkit.explaining import (
    PALETTE,
    Diagnostic,
    ExplainedHead,
    HeadResult,
    NetworkView,
    RunPart,
    RunView,
    Value,
    correct,
    fitting,
    value_for,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from matplotlib.lines import Line2D

LEAST = 10
"""With fewer cases there is no picture: with a perplexity below 3 all arrangements are equally good."""
_MARKS = ("o", "s", "^", "D", "v", "P")
_UNKNOWN = "#BBBBBB"


class TsneConfig(Config):
    """Options of `explanation.tsne`."""

    node: str | None = Field(None, description="The node, or named output of one, whose output is drawn. Without it "
                             "what each head reads.", examples=["fused"])


@dataclass(frozen=True)
class Scatter:
    """Cases in the plane: `points` (N, 2), the class name of each, and whether the head's prediction is wrong.

    `values` (N,) are numbers to show if there are no classes. `classes` is the order of the legend.
    """

    points: Floats
    labels: tuple[str, ...]
    wrong: Bools
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


class Tsne:
    """One picture and one table of coordinates for each head, and each fold."""

    def __init__(self, config: TsneConfig) -> None:
        self.node = config.node

    def faults(self, network: NetworkView) -> list[Diagnostic]:
        """A node that is not there, or that gives several tensors."""
        found = value_for(network.plan, ExplainedHead(network.plan.heads[0]), self.node)
        return [found] if isinstance(found, Diagnostic) else []

    def explain(self, run: RunView) -> list[dict[str, Any]]:
        """Draw the pictures; gives an entry for each."""
        if len(run.parts[0].networks) > 1:
            run.note(f"t-SNE shows the first of {len(run.parts[0].networks)} networks, since features of different "
                     "networks cannot be compared")
        if run.parts[0].fold is not None:
            run.note("t-SNE is drawn fold by fold, since features of different networks cannot be compared")
        return [entry for part in run.parts for entry in self._part(run, part)]

    def _part(self, run: RunView, part: RunPart) -> list[dict[str, Any]]:
        values = {head.name: value_for(part.network.plan, head, self.node) for head in run.heads}
        known = {name: value for name, value in values.items() if isinstance(value, Value)}
        features = part.network.features(part.cases.dataset, {value.name for value in known.values()})
        entries = []
        named, of_fold = ("", ()) if part.fold is None else (f", fold {part.fold}", (f"fold-{part.fold}",))
        for explained in run.heads:
            value, cases = known[explained.name], part.cases
            found, result = features[value.name], cases.results[explained.name]
            rows = np.flatnonzero(cases.tested & found.there)
            reason = why_not(found.values[rows])
            if reason:
                run.note(f"no t-SNE of {value.name!r}{named}: {reason}")
                continue
            left = int((cases.tested & ~found.there).sum())
            if left:
                run.note(f"{left} cases are not in the t-SNE of {value.name!r}{named}, which they lack")
            points = embed(found.values[rows], run.seed)
            scatter, how = _scatter(explained, result, rows, points)
            title = (f"t-SNE of {value.name} ({value.shape.layout}"
                     f"{', mean over positions' if value.shape.positions > 1 else ''}), head {explained.name}{named}",
                     how)
            picture = run.folder.picture(partial(scatter_figure, scatter, title), "tsne", explained.name, value.name,
                                         *of_fold)
            table = run.folder.table(
                ["id", "x", "y", "class", "wrong"],
                [[cases.ids[row], f"{x:.6g}", f"{y:.6g}", label, "" if not there else str(int(wrong))]
                 for row, (x, y), label, wrong, there in zip(rows.tolist(), points, scatter.labels, scatter.wrong,
                                                             result.known[rows], strict=True)],
                "tsne", explained.name, value.name, *of_fold)
            entries.append({"head": explained.name, **({} if part.fold is None else {"fold": part.fold}),
                            "node": value.name, "cases": len(rows), "seed": run.seed,
                            "perplexity": float(f"{scatter.perplexity:.6g}"), "file": picture, "table": table})
        return entries


def _scatter(explained: ExplainedHead, result: HeadResult, rows: Any, points: Any) -> tuple[Scatter, str]:
    """The scatter of a head's cases, and what the colours mean as text."""
    names, task, known = explained.head.names, explained.head.declared_task, result.known[rows]
    column = explained.column or 0
    perplexity = perplexity_of(len(rows))
    if task.results == "values":
        wanted = result.targets[rows].reshape(len(rows), -1)
        true = not task.keys and bool(known.all()) and not np.isnan(wanted[:, column]).any()
        shown = wanted[:, column] if true else result.values[rows, column]
        what = f"{'true' if true else 'predicted'} {names[column]}"
        labels = tuple(f"{number:.6g}" for number in shown)
        return Scatter(points, labels, np.zeros(len(rows), dtype=bool), (what,), perplexity, shown), f"colour: {what}"
    wrong = known & ~correct(result)[rows]
    if task.results == "classes":
        labels = tuple(names[int(result.targets[row])] if there else "not known"
                       for row, there in zip(rows.tolist(), known, strict=True))
        return Scatter(points, labels, wrong, names, perplexity), "colour: true class"
    target = result.targets[rows].reshape(len(rows), -1)
    cells = target[:, column] if target.shape[1] > column else np.full(len(rows), np.nan)
    yes, no = names[column], f"not {names[column]}"
    labels = tuple(yes if value == 1 else no if there and value == 0 else "not known"
                   for value, there in zip(cells, known, strict=True))
    wrong = known & np.isin(cells, (0, 1)) & ((result.values[rows, column] > 0.5) != (cells == 1))
    return Scatter(points, labels, wrong, (no, yes), perplexity), f"colour: true label {names[column]}"


component = Explanation(
    "tsne", TsneConfig, Tsne, category="features", paper="https://jmlr.org/papers/v9/vandermaaten08a.html",
    needs=("scikit-learn>=1.5",), label="t-SNE", writes=("pictures", "tables"), by_default=True, place=20,
)
