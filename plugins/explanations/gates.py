"""Gates: how much each fusion weighs its inputs, for every case and in the mean.

The weights that a fusion reports by its method `gates`, averaged over features and positions. Of several networks whose
mean predicts, they are the mean of their gates.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np

from fusionkit.api import Config, Explanation
from fusionkit.explaining import BarGroup, Gates, MetricResult, Panel, RunPart, RunView, bars_figure, means


class GatesConfig(Config):
    """Options of `explanation.gates`: none."""


class FusionGates:
    """A picture and a table for every fusion that reports gates."""

    def __init__(self, config: GatesConfig) -> None:
        pass

    def explain(self, run: RunView) -> list[dict[str, Any]]:
        """Draw the gates; gives an entry for each fusion."""
        return [_report(run, _of_all(same)) for same in zip(*map(_of_part, run.parts), strict=True)]


def _of_part(part: RunPart) -> list[Gates]:
    """The gates of each fusion, the mean over the networks."""
    found = [network.gates(part.cases.dataset) for network in part.networks]
    return [same[0] if len(same) == 1 else replace(same[0], values=np.mean([each.values for each in same], axis=0))
            for same in zip(*found, strict=True)]


def _of_all(parts: Sequence[Gates]) -> Gates:
    """The gates of one fusion over the cases of all parts."""
    return replace(parts[0], values=np.concatenate([each.values for each in parts]),
                   there=np.concatenate([each.there for each in parts]))


def _report(run: RunView, found: Gates) -> dict[str, Any]:
    cases = run.cases
    table = run.folder.table(
        ["id", *found.inputs],
        [[case, *(f"{value:.6g}" if there else "" for value, there in zip(values, flags, strict=True))]
         for case, values, flags in zip(cases.ids, found.values, found.there, strict=True)], "gates", found.path)
    mean = means(found.values, found.there & cases.tested[:, None], cases.patients)
    whole = BarGroup(f"mean of {int(cases.tested.sum())} cases, each input where present", tuple(mean))
    rows = [whole] if cases.tested.any() else []
    for place in dict.fromkeys(item.place for item in run.chosen):
        rows.append(BarGroup(f"case {cases.ids[place]}", tuple(
            MetricResult(float(value)) if there else None
            for value, there in zip(found.values[place], found.there[place], strict=True))))
    several = len(run.parts[0].networks)
    over = f"features, positions and {several} networks" if several > 1 else "features and positions"
    title = (f"Gates of node {found.path} ({found.use}): how much it weighs each input",
             f"mean over {over}; black line: 95 % interval of a mean over cases")
    panel = Panel("", "gate: weight of an input, no unit", tuple(rows))
    picture = run.folder.picture(partial(bars_figure, [panel], found.inputs, title), "gates", found.path)
    run.show(f"gates of {found.path} ({found.use}), mean over features, positions and the cases that have the input",
             ["input", "gate", "95 % interval"],
             [[name, str(metric).partition(" ")[0], metric.interval]
              for name, metric in zip(found.inputs, mean, strict=True)])
    return {"node": found.path, "use": found.use, "file": picture, "table": table,
            "mean": {name: metric.to_json() for name, metric in zip(found.inputs, mean, strict=True)}}


component = Explanation(
    "gates", GatesConfig, FusionGates, category="weights", label="gates", requires=("gates",),
    writes=("pictures", "tables"), by_default=True, place=30,
)
