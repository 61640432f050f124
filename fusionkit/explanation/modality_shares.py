"""The shares of an explanation: gates and Shapley values as tables, means and bars."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

import numpy as np

from fusionkit.errors import GraphError
from fusionkit.evaluation.formatting import MetricResult
from fusionkit.explanation.activations import Gates
from fusionkit.explanation.bar_plot import BarGroup, Panel, bars_figure
from fusionkit.explanation.group_means import GroupMeans, groups_of, means
from fusionkit.explanation.request import CaseOutput, Cases, Explanation, ResolvedRequest
from fusionkit.explanation.selection import ChosenCase, ExplainedHead
from fusionkit.explanation.shapley import MOST, Prior, Shares, shares
from fusionkit.inference.predict import Settings
from fusionkit.network.optional_inputs import all_optional
from fusionkit.progress import Progress
from fusionkit.registry.lookup import Registry


def report_gates(made: Explanation, cases: Cases, gates: Sequence[Gates], chosen: Sequence[ChosenCase]) -> None:
    """The gates of every fusion that reports them: a row for each case, the mean, and bars."""
    entries: list[dict[str, Any]] = []
    for found in gates:
        table = made.folder.table(
            ["id", *found.inputs],
            [[case, *(f"{value:.6g}" if there else "" for value, there in zip(values, flags, strict=True))]
             for case, values, flags in zip(cases.ids, found.values, found.there, strict=True)], "gates", found.path)
        mean = means(found.values, found.there & cases.tested[:, None], cases.patients)
        whole = BarGroup(f"mean of {int(cases.tested.sum())} cases, each input where present", tuple(mean))
        rows = [whole] if cases.tested.any() else []
        for place in dict.fromkeys(item.place for item in chosen):
            rows.append(BarGroup(f"case {cases.ids[place]}", tuple(
                MetricResult(float(value)) if there else None
                for value, there in zip(found.values[place], found.there[place], strict=True))))
        title = (f"Gates of node {found.path} ({found.use}): how much it weighs each input",
                 "mean over features and positions; black line: 95 % interval of a mean over cases")
        panel = Panel("", "gate: weight of an input, no unit", tuple(rows))
        picture = made.folder.picture(partial(bars_figure, [panel], found.inputs, title), "gates", found.path)
        entries.append({"node": found.path, "use": found.use, "file": picture, "table": table,
                        "mean": {name: metric.to_json() for name, metric in zip(found.inputs, mean, strict=True)}})
        made.tables.append((f"gates of {found.path} ({found.use}), mean over features, positions and the cases that "
                            "have the input",
                            ["input", "gate", "95 % interval"],
                            [[name, str(metric).partition(" ")[0], metric.interval]
                             for name, metric in zip(found.inputs, mean, strict=True)]))
    made.data["gates"] = entries
    if not gates:
        made.notes.append("no fusion in this network has gates to report")


def shapley_shares(made: Explanation, resolved: ResolvedRequest, cases: Cases, registry: Registry, *, prior: Prior,
                   settings: Settings, progress: Progress | None = None) -> dict[str, Shares]:
    """The Shapley values of every head, empty with a note on why there are none."""
    inputs = resolved.model.plan.inputs
    if len(inputs) == 1:
        made.notes.append("no Shapley values: the network has a single input")
        return {}
    if len(inputs) > MOST:
        made.notes.append(f"no Shapley values: {len(inputs)} inputs have {1 << len(inputs):,} subsets, and each takes "
                          f"one pass over all cases; at most {MOST} inputs are supported")
        return {}
    try:
        model = all_optional(resolved.model, registry).to(settings.chosen_device)
    except GraphError as error:
        made.notes.append("no Shapley values, since the network cannot run without some of its inputs:")
        made.notes.extend(found.render() for found in error.diagnostics)
        return {}
    found, notes = shares(model, cases.dataset, [explained.head for explained in resolved.heads], prior, settings,
                          progress=progress)
    made.notes.extend(notes)
    return found


def report_shapley(made: Explanation, resolved: ResolvedRequest, cases: Cases, chosen: Sequence[ChosenCase],
                   found: Mapping[str, Shares]) -> None:
    """The Shapley values of every head that has some: tables, means and bars."""
    made.data["shapley"] = [_head(made, resolved, cases, chosen, explained, mine=found[explained.name])
                            for explained in resolved.heads if explained.name in found]


def _head(made: Explanation, resolved: ResolvedRequest, cases: Cases, chosen: Sequence[ChosenCase],
          explained: ExplainedHead, *, mine: Shares) -> dict[str, Any]:
    columns = explained.columns(cases.results[explained.name])
    names = mine.head.names
    rows = [[cases.ids[row], names[column], f"{mine.nothing[row, column]:.6g}",
             *(f"{value:.6g}" for value in mine.values[row, :, column]), f"{mine.whole[row, column]:.6g}",
             " ".join(name for name, there in zip(mine.inputs, mine.there[row], strict=True) if not there)]
            for row in np.flatnonzero(mine.valid) for column in range(len(names))]
    header = ["id", "class", "nothing", *mine.inputs, "all", "absent"]
    table = made.folder.table(header, rows, "shapley", explained.name)
    result = "value" if explained.head.task == "regression" else "probability"
    base = ("the prediction without any" if mine.answered else
            "the mean of the training cases" if result == "value" else "the share of the class in training")
    entry: dict[str, Any] = {"head": explained.name, "inputs": list(mine.inputs), "table": table,
                             "nothing": "network" if mine.answered else "training"}
    picked = [item for item in chosen if item.head == explained.name and mine.valid[item.place]]
    if picked:
        panel = Panel("", _unit("change", result), tuple(_case(resolved, cases, mine, item) for item in picked))
        title = (f"Shapley values of the inputs, head {explained.name}: what each adds to the {result}",
                 f"no input: {base}; all inputs: the predicted {result}. The bars of a case add up to the difference.")
        entry["cases"] = made.folder.picture(partial(bars_figure, [panel], mine.inputs, title), "shapley",
                                             explained.name, "cases")
    groups = groups_of(mine, columns, cases.tested, cases.patients, explained.column is not None)
    if groups:
        entry["file"] = made.folder.picture(
            partial(bars_figure, _panels(groups, result), mine.inputs,
                    (f"Shapley values of the inputs, head {explained.name}, mean over cases with 95 % intervals",)),
            "shapley", explained.name, "mean")
        entry["summary"] = _summary(made, explained, mine, groups)
        entry["groups"] = [{"name": group.name, "cases": group.cases, "inputs": {
            name: {"mean": mean.to_json(), "mean_absolute": absolute.to_json()}
            for name, mean, absolute in zip(mine.inputs, group.mean, group.absolute, strict=True)}} for group in groups]
    return entry


def _case(resolved: ResolvedRequest, cases: Cases, mine: Shares, item: ChosenCase) -> BarGroup:
    output = CaseOutput.of(resolved, cases, item)
    bars = tuple(MetricResult(float(value)) if there else None for value, there in
                 zip(mine.values[item.place, :, output.column], mine.there[item.place], strict=True))
    beside = (f"no input: {mine.nothing[item.place, output.column]:.3f}\n"
              f"all inputs: {mine.whole[item.place, output.column]:.3f}\ntruth: {output.truth}")
    return BarGroup(f"{cases.ids[item.place]} ({item.why}): {output.explained}", bars, beside)


def _unit(what: str, result: str) -> str:
    """The label of the axis: probabilities are between 0 and 1, values have the unit of their target."""
    return f"{what} in the predicted {result} (" + ("unit of the target)" if result == "value" else "scale 0 to 1)")


def _panels(groups: Sequence[GroupMeans], result: str) -> list[Panel]:
    return [Panel("mean contribution", _unit("change", result), tuple(
                BarGroup(f"{group.name} ({group.cases} cases)", group.mean) for group in groups)),
            Panel("mean absolute contribution", _unit("absolute change", result), tuple(
                BarGroup(f"{group.name} ({group.cases} cases)", group.absolute) for group in groups))]


def _summary(made: Explanation, explained: ExplainedHead, mine: Shares, groups: Sequence[GroupMeans]) -> str:
    """Write the means as a table and add them to the printed ones."""
    rows, printed = [], []
    for group in groups:
        for name, mean, absolute in zip(mine.inputs, group.mean, group.absolute, strict=True):
            cells = [f"{number:.6g}" if number is not None else "" for metric in (mean, absolute)
                     for number in (metric.value, metric.low, metric.high)]
            rows.append([group.name, str(group.cases), name, *cells])
            printed.append([group.name, str(group.cases), name, str(mean), str(absolute)])
    made.tables.append((f"Shapley values of the inputs, head {explained.name}: mean over cases (95 % interval)",
                        ["over", "cases", "input", "mean", "mean absolute"], printed))
    return made.folder.table(["over", "cases", "input", "mean", "mean_low", "mean_high", "absolute", "absolute_low",
                              "absolute_high"], rows, "shapley", explained.name, "mean")
