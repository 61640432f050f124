"""Exact Shapley values of the inputs: what each adds to a result, averaged over all orders of adding them.

Nothing is sampled: every subset of the inputs is run, with the others missing. Of several networks whose mean predicts
they are the mean of their values, which are the Shapley values of that mean.

Source: Shapley 1953, A value for n-person games, in Contributions to the Theory of Games II; for predictions: Lundberg
and Lee 2017, A Unified Approach to Interpreting Model Predictions, arXiv 1705.07874, eq. 8.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from math import factorial
from typing import Any

import numpy as np
import torch

from fusionkit.api import Bools, Config, Explanation, Floats, Ints
from fusionkit.explaining import (
    BarGroup,
    Cases,
    ChosenCase,
    ExplainedHead,
    MetricResult,
    NetworkView,
    Panel,
    PlannedHead,
    Prior,
    Progress,
    RunPart,
    RunView,
    bars_figure,
    means,
)

# Axes: S subsets of the M modalities, N cases, K columns of a head.
MOST = 10
"""The most modalities for which all subsets are run: 1,024 passes. One more would double them."""


class ShapleyConfig(Config):
    """Options of `explanation.shapley`: none."""


@dataclass(frozen=True)
class Shares:
    """What each modality adds to the results of one head.

    *Shapes*: `values` (N, M, K), `whole` and `nothing` (N, K): the results with all inputs of a case, and with none.
    `valid` (N,) is False where the head has no result, `there` (N, M) where a case lacks the modality: it adds 0.
    `answered` is True if the network itself has a result without inputs; otherwise that is the prior.
    """

    head: PlannedHead
    inputs: tuple[str, ...]
    values: Floats
    whole: Floats
    nothing: Floats
    valid: Bools
    there: Bools
    answered: bool


def shapley(results: Floats) -> Floats:
    """Shapley values from the results of all subsets; subset s contains modality m if bit m of s is 1.

    The value of m is the sum over the subsets S without it of |S|! (M - |S| - 1)! / M! times (v(S with m) - v(S)).

    *Shapes*: (2**M, ...) gives (M, ...).
    """
    count = len(results).bit_length() - 1
    assert len(results) == 1 << count, "one result for each subset; please report"
    values = np.zeros((count, *results.shape[1:]))
    for subset in range(1 << count):
        size = subset.bit_count()
        for member in range(count):
            if not subset >> member & 1:
                weight = factorial(size) * factorial(count - size - 1) / factorial(count)
                values[member] += weight * (results[subset | 1 << member] - results[subset])
    return values


def shares(network: NetworkView, cases: Any, heads: Sequence[PlannedHead], prior: Prior,
           *, progress: Progress | None = None) -> tuple[dict[str, Shares], list[str]]:
    """The shares of a network for the cases of a dataset, and notes on heads without shares.

    Where a head has no result for a subset, the `prior` (K,) is used: the prediction for a case of which nothing is
    known. `progress(done, total)` counts cases, once for each subset.
    """
    names = tuple(value.name for value in network.plan.inputs)
    assert len(names) <= MOST, "too many subsets should have been refused; please report"
    values: dict[str, list[list[Floats]]] = {head.name: [] for head in heads}
    valid: dict[str, list[list[Bools]]] = {head.name: [] for head in heads}
    there: list[Bools] = []
    total, done = len(cases), 0
    for batch in network.batches(cases):
        found: Mapping[str, list[list[Any]]] = {head.name: [[], []] for head in heads}
        for subset in range(1 << len(names)):
            output = network.answers(batch, [name for place, name in enumerate(names) if subset >> place & 1])
            for name, parts in found.items():
                parts[0].append(output[name].values.cpu().double().numpy())
                parts[1].append(output[name].valid.cpu().numpy())
            if progress:
                progress((done << len(names)) + (subset + 1) * len(batch), total << len(names))
        done += len(batch)
        for name, parts in found.items():
            values[name].append(parts[0])
            valid[name].append(parts[1])
        there.append(torch.stack([batch.present[name] for name in names], 1).cpu().numpy())
    made, notes = {}, []
    for head in heads:
        table_SNK = np.concatenate([np.stack(part) for part in values[head.name]], axis=1)
        known_SN = np.concatenate([np.stack(part) for part in valid[head.name]], axis=1)
        fallback = None if known_SN.all() else prior(head)
        if not known_SN.all() and fallback is None:
            notes.append(f"Shapley values of {head.name!r} are left out: it has no result without some inputs, and no "
                         "training target is available for the class frequencies")
            continue
        made[head.name] = _shares(head, names, table_SNK, known_SN, fallback, there_NM=np.concatenate(there))
    return made, notes


def _shares(head: PlannedHead, names: tuple[str, ...], table_SNK: Floats, known_SN: Bools, fallback: Floats | None,
            *, there_NM: Bools) -> Shares:
    filled = table_SNK if fallback is None else np.where(known_SN[:, :, None], table_SNK, fallback)
    return Shares(head, names, shapley(filled).transpose(1, 0, 2), filled[-1], filled[0], known_SN[-1], there_NM,
                  bool(known_SN[0].all()))


def _mean_of(every: Sequence[Shares]) -> Shares:
    """The shares of the mean of several networks, for the same cases."""
    if len(every) == 1:
        return every[0]
    return replace(
        every[0], values=np.mean([each.values for each in every], axis=0),
        whole=np.mean([each.whole for each in every], axis=0),
        nothing=np.mean([each.nothing for each in every], axis=0))


def _joined(every: Sequence[Shares]) -> Shares:
    """The shares of the cases of several parts, one part after the other."""
    return replace(
        every[0], values=np.concatenate([each.values for each in every]),
        whole=np.concatenate([each.whole for each in every]), nothing=np.concatenate([each.nothing for each in every]),
        valid=np.concatenate([each.valid for each in every]), there=np.concatenate([each.there for each in every]),
        answered=all(each.answered for each in every))


@dataclass(frozen=True)
class GroupMeans:
    """The mean share of each modality over some cases: `mean` of signed, `absolute` of absolute values."""

    name: str
    cases: int
    mean: tuple[MetricResult, ...]
    absolute: tuple[MetricResult, ...]


def groups_of(shares: Shares, columns: Ints, used: Bools, patients: Sequence[str] | None, one_class: bool
              ) -> list[GroupMeans]:
    """Means over the cases in `used` (N,), each explained by its column of `columns` (N,).

    For a multiclass head by predicted class, and over all cases; with `one_class` for that class alone. For labels
    and values, every column over all cases.
    """
    use = used & shares.valid
    names = shares.head.names
    if one_class or shares.head.declared_task.results != "classes":
        wanted = sorted(set(columns.tolist())) if one_class else range(len(names))
        return [_group(names[column], shares.values[:, :, column], use, patients) for column in wanted]
    own = np.take_along_axis(shares.values, columns[:, None, None], 2)[:, :, 0]
    made = [_group(f"predicted {name}", own, use & (columns == column), patients) for column, name in enumerate(names)]
    return [group for group in (_group("all cases", own, use, patients), *made) if group.cases]


def _group(name: str, values: Floats, used: Bools, patients: Sequence[str] | None) -> GroupMeans:
    return GroupMeans(name, int(used.sum()), tuple(means(values, used, patients)),
                      tuple(means(np.abs(values), used, patients)))


class Shapley:
    """Tables of all cases, their means, and bars, for each head."""

    def __init__(self, config: ShapleyConfig) -> None:
        pass

    def explain(self, run: RunView) -> list[dict[str, Any]]:
        """Run all subsets and draw the values; gives an entry for each head."""
        count = len(run.network.plan.inputs)
        if count > MOST:
            run.note(f"no Shapley values: {count} inputs have {1 << count:,} subsets, and each takes one pass over all "
                     f"cases; at most {MOST} inputs are supported")
            return []
        parts = [_of_part(run, part) for part in run.parts]
        found = {name: _joined([part[name] for part in parts]) for name in parts[0]
                 if all(name in part for part in parts)}
        return [_head(run, explained, found[explained.name]) for explained in run.heads if explained.name in found]


def _of_part(run: RunView, part: RunPart) -> dict[str, Shares]:
    """The shares of each head, those of the mean of the networks."""
    heads = [explained.head for explained in run.heads]
    every = []
    for number, network in enumerate(part.networks):
        label = "subsets of the inputs" + ("" if part.fold is None else f", fold {part.fold}")
        label += f", network {number + 1} of {len(part.networks)}" if len(part.networks) > 1 else ""
        with run.progress(label) as update:
            found, notes = shares(network, part.cases.dataset, heads, part.prior, progress=update)
        every.append(found)
        run.notes.extend(notes)
    return {name: _mean_of([each[name] for each in every]) for name in every[0] if all(name in each for each in every)}


def _head(run: RunView, explained: ExplainedHead, mine: Shares) -> dict[str, Any]:
    cases: Cases = run.cases
    columns = explained.columns(cases.results[explained.name])
    names = mine.head.names
    rows = [[cases.ids[row], names[column], f"{mine.nothing[row, column]:.6g}",
             *(f"{value:.6g}" for value in mine.values[row, :, column]), f"{mine.whole[row, column]:.6g}",
             " ".join(name for name, there in zip(mine.inputs, mine.there[row], strict=True) if not there)]
            for row in np.flatnonzero(mine.valid) for column in range(len(names))]
    header = ["id", "class", "nothing", *mine.inputs, "all", "absent"]
    table = run.folder.table(header, rows, "shapley", explained.name)
    result = "value" if explained.head.declared_task.results == "values" else "probability"
    several = len(run.parts[0].networks)
    named = f"head {explained.name}" + (f", mean of {several} networks" if several > 1 else "")
    base = ("the prediction without any" if mine.answered else
            "the mean of the training cases" if result == "value" else "the share of the class in training")
    entry: dict[str, Any] = {"head": explained.name, "inputs": list(mine.inputs), "table": table,
                             "nothing": "network" if mine.answered else "training"}
    picked = [item for item in run.chosen if item.head == explained.name and mine.valid[item.place]]
    if picked:
        panel = Panel("", _unit("change", result), tuple(_case(run, mine, item) for item in picked))
        title = (f"Shapley values of the inputs, {named}: what each adds to the {result}",
                 f"no input: {base}; all inputs: the predicted {result}. The bars of a case add up to the difference.")
        entry["cases"] = run.folder.picture(partial(bars_figure, [panel], mine.inputs, title), "shapley",
                                             explained.name, "cases")
    groups = groups_of(mine, columns, cases.tested, cases.patients, explained.column is not None)
    if groups:
        entry["file"] = run.folder.picture(
            partial(bars_figure, _panels(groups, result), mine.inputs,
                    (f"Shapley values of the inputs, {named}, mean over cases with 95 % intervals",)),
            "shapley", explained.name, "mean")
        entry["summary"] = _summary(run, explained, mine, groups)
        entry["groups"] = [{"name": group.name, "cases": group.cases, "inputs": {
            name: {"mean": mean.to_json(), "mean_absolute": absolute.to_json()}
            for name, mean, absolute in zip(mine.inputs, group.mean, group.absolute, strict=True)}} for group in groups]
    return entry


def _case(run: RunView, mine: Shares, item: ChosenCase) -> BarGroup:
    output = run.output(item)
    bars = tuple(MetricResult(float(value)) if there else None for value, there in
                 zip(mine.values[item.place, :, output.column], mine.there[item.place], strict=True))
    beside = (f"no input: {mine.nothing[item.place, output.column]:.3f}\n"
              f"all inputs: {mine.whole[item.place, output.column]:.3f}\ntruth: {output.truth}")
    return BarGroup(f"{run.cases.ids[item.place]} ({item.why}): {output.explained}", bars, beside)


def _unit(what: str, result: str) -> str:
    """The label of the axis: probabilities are between 0 and 1, values have the unit of their target."""
    return f"{what} in the predicted {result} (" + ("unit of the target)" if result == "value" else "scale 0 to 1)")


def _panels(groups: Sequence[GroupMeans], result: str) -> list[Panel]:
    return [Panel("mean contribution", _unit("change", result), tuple(
                BarGroup(f"{group.name} ({group.cases} cases)", group.mean) for group in groups)),
            Panel("mean absolute contribution", _unit("absolute change", result), tuple(
                BarGroup(f"{group.name} ({group.cases} cases)", group.absolute) for group in groups))]


def _summary(run: RunView, explained: ExplainedHead, mine: Shares, groups: Sequence[GroupMeans]) -> str:
    """Write the means as a table and add them to the printed ones."""
    rows, printed = [], []
    for group in groups:
        for name, mean, absolute in zip(mine.inputs, group.mean, group.absolute, strict=True):
            cells = [f"{number:.6g}" if number is not None else "" for metric in (mean, absolute)
                     for number in (metric.value, metric.low, metric.high)]
            rows.append([group.name, str(group.cases), name, *cells])
            printed.append([group.name, str(group.cases), name, str(mean), str(absolute)])
    run.show(f"Shapley values of the inputs, head {explained.name}: mean over cases (95 % interval)",
             ["over", "cases", "input", "mean", "mean absolute"], printed)
    return run.folder.table(["over", "cases", "input", "mean", "mean_low", "mean_high", "absolute", "absolute_low",
                              "absolute_high"], rows, "shapley", explained.name, "mean")


component = Explanation(
    "shapley", ShapleyConfig, Shapley, category="inputs", paper="arXiv:1705.07874", label="Shapley values",
    requires=("subsets",), writes=("pictures", "tables"), by_default=True, place=40,
)
