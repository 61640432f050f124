"""Sites that were each left out of training once: the metrics of each, their mean and spread, and a new site.

Source: DerSimonian and Laird 1986, Meta-analysis in clinical trials, doi:10.1016/0197-2456(86)90046-2; prediction
interval of a new study: Higgins, Thompson and Spiegelhalter 2009, doi:10.1111/j.1467-985X.2008.00552.x.
"""
# Axes: K sites.

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from fusionkit.arrays import Floats
from fusionkit.evaluation.formatting import MetricResult, figures, short
from fusionkit.evaluation.report import HeadReport
from fusionkit.evaluation.student import t_quantile
from fusionkit.evaluation.subgroups import Group, Subgroups
from fusionkit.files import csv_text, write_json, write_text

SITES = "sites"
COLUMNS = ("head", "left out", "cases", "patients", "metric", "value", "95 % interval", "note")
FEWEST_SITES = 5
_LEVEL = 0.975


@dataclass(frozen=True, slots=True)
class NewSite:
    """A metric of a share of pairs at a site like these: the random effects mean, and where a new one would lie.

    `tau` is the standard deviation between sites of its log odds, of which the sites' own errors have no part.
    """

    mean: float
    low: float
    high: float
    tau: float


@dataclass(frozen=True, slots=True)
class AcrossSites:
    """A metric over the sites that define it: plain mean, standard deviation, range, and that of a new site."""

    count: int
    mean: float
    deviation: float | None
    new: NewSite | None = None
    note: str | None = None

    def to_json(self) -> dict[str, Any]:
        """The figures as plain data."""
        new = {} if self.new is None else {"new_site": {
            "mean": short(self.new.mean), "low": short(self.new.low), "high": short(self.new.high),
            "tau_of_log_odds": short(self.new.tau)}}
        return {"sites": self.count, "mean": short(self.mean), "deviation": short(self.deviation), **new,
                "note": self.note}


@dataclass(frozen=True, slots=True)
class LeftOutSites:
    """The sites of one head, in their order; `pooled` has the metrics of all cases together."""

    column: str
    head: str
    groups: tuple[Group, ...]
    across: Mapping[str, AcrossSites]
    pooled: Mapping[str, MetricResult]
    labels: Mapping[str, str]
    shown: tuple[str, ...]

    def to_json(self) -> dict[str, Any]:
        """Sites and figures over all of them as plain data."""
        return {"sites": [group.to_json() for group in self.groups],
                "across": {key: each.to_json() for key, each in self.across.items()},
                "pooled": {key: each.to_json() for key, each in self.pooled.items()}}


def new_site(values: Floats, errors: Floats) -> NewSite:
    """Random effects on the log odds of a metric between 0 and 1, and the 95 % prediction interval of a new site.

    *Shapes*: `values` and their standard errors, (K,), K of at least 3; t has K - 2 degrees of freedom.
    """
    logits = np.log(values / (1 - values))
    variances = (errors / (values * (1 - values))) ** 2
    weights = 1 / variances
    fixed = float((weights * logits).sum() / weights.sum())
    heterogeneity = float((weights * (logits - fixed) ** 2).sum())
    scale = float(weights.sum() - (weights**2).sum() / weights.sum())
    between = max(0.0, (heterogeneity - (len(values) - 1)) / scale)
    weights = 1 / (variances + between)
    mean = float((weights * logits).sum() / weights.sum())
    half = t_quantile(_LEVEL, len(values) - 2) * math.sqrt(between + 1 / float(weights.sum()))
    centre, low, high = (1 / (1 + math.exp(-value)) for value in (mean, mean - half, mean + half))
    return NewSite(centre, low, high, math.sqrt(between))


def left_out_sites(found: Subgroups, pooled: HeadReport, ranking: str) -> LeftOutSites:
    """The sites of a head, of groups that were not compared; `ranking` is the metric that a new site is told for.

    It is a share of pairs in the right order, and empty for a head without such a metric.
    """
    across = {}
    for key in pooled.metrics:
        told = [(group, group.metrics[key]) for group in found.groups if key in group.metrics]
        known = [(group, metric.value) for group, metric in told if metric.value is not None]
        if not known:
            continue
        values = np.array([value for _, value in known])
        notes, new = [], None
        if lost := len(found.groups) - len(known):
            notes.append(f"{lost} of {len(found.groups)} sites have none")
        if key == ranking:
            new, why = _new_site(values, np.array([group.errors.get(key, math.nan) for group, _ in known]))
            notes += [why] if why else []
        across[key] = AcrossSites(len(known), float(values.mean()),
                                  float(values.std(ddof=1)) if len(known) > 1 else None, new, "; ".join(notes) or None)
    return LeftOutSites(found.column, found.head, found.groups, across, pooled.metrics, pooled.labels, found.shown)


def _new_site(values: Floats, errors: Floats) -> tuple[NewSite | None, str | None]:
    if len(values) < FEWEST_SITES:
        return None, f"no interval of a new site from fewer than {FEWEST_SITES} sites"
    if not ((values > 0) & (values < 1)).all():
        return None, "no interval of a new site: the log odds of 0 and 1 are not finite"
    if not (errors > 0).all():
        return None, "no interval of a new site: the standard error of a site is not known"
    return new_site(values, errors), None


def rows(found: Sequence[LeftOutSites]) -> list[tuple[str, ...]]:
    """Rows of text for `COLUMNS`: each site, the mean over them, a new site, and all cases pooled."""
    made: list[tuple[str, ...]] = []
    for each in found:
        made.extend(row for group in each.groups for row in _of_group(each, group))
        for key in each.shown:
            label, across = each.labels.get(key, key), each.across.get(key)
            if across is not None:
                spread = "" if across.deviation is None else f"sd {figures(across.deviation)}"
                made.append((each.head, f"mean of {across.count} sites", "", "", label, figures(across.mean), spread,
                             across.note or ""))
                if across.new is not None:
                    new = across.new
                    made.append((each.head, "a new site", "", "", label, figures(new.mean),
                                 MetricResult(new.mean, new.low, new.high).interval, "95 % prediction interval"))
            metric = each.pooled[key]
            made.append((each.head, "all cases pooled", "", "", label,
                         "undefined" if metric.value is None else figures(metric.value), metric.interval,
                         "differences between sites are in it"))
    return made


def _of_group(each: LeftOutSites, group: Group) -> list[tuple[str, ...]]:
    counts = ", ".join(f"{count} {kind}" for kind, count in group.counts.items())
    start = (each.head, f"{each.column} {group.name}", str(group.cases) + (f" ({counts})" if counts else ""),
             "" if group.patients is None else str(group.patients))
    if not group.metrics:
        return [(*start, "", "", "", group.note or "")]
    made: list[tuple[str, ...]] = []
    for key in each.shown:
        metric = group.metrics[key]
        notes = "; ".join(note for note in (group.note, metric.note) if note)
        made.append((*start, each.labels.get(key, key), "undefined" if metric.value is None else figures(metric.value),
                     metric.interval, notes))
    return made


def to_json(found: Sequence[LeftOutSites]) -> dict[str, Any]:
    """By head, with the column, as plain data."""
    return {"column": found[0].column, "heads": {each.head: each.to_json() for each in found}}


def write_sites(folder: Path, found: Sequence[LeftOutSites]) -> None:
    """`sites.json` with every metric, and `sites.csv` with the rows of the table."""
    write_json(folder / f"{SITES}.json", {"fusionkit-sites": 1, **to_json(found)})
    write_text(folder / f"{SITES}.csv", csv_text([COLUMNS, *rows(found)]))
