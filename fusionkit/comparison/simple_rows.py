"""Rows that need no network: a constant prediction, and scikit-learn on each table alone."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from fusionkit.comparison import baselines
from fusionkit.comparison.outcomes import HeadOutputs, RepeatOutputs, joined
from fusionkit.comparison.splits import narrowed
from fusionkit.comparison.train import Unit
from fusionkit.comparison.tuned_tables import TableSearch
from fusionkit.data.loading import Cohort
from fusionkit.planning.plan import PlannedHead

CONSTANT = "constant prediction"
Rows = dict[str, tuple[RepeatOutputs, ...]]
Missing = list[tuple[str, str]]


def without_networks(cohorts: Sequence[Cohort], units: Sequence[Unit], heads: Sequence[PlannedHead], seed: int,
                     search: TableSearch | None = None) -> tuple[Rows, Missing]:
    """The outputs of every such row, and those that are not possible with the reason; `search` tunes scikit-learn."""
    constant, without = _constant(units, cohorts, heads)
    fitted, missing = scikit_learn_rows(cohorts, units, heads, seed, search)
    return {**constant, **fitted}, without + missing


def scikit_learn_rows(cohorts: Sequence[Cohort], units: Sequence[Unit], heads: Sequence[PlannedHead], seed: int,
                      search: TableSearch | None = None) -> tuple[Rows, Missing]:
    """Scikit-learn's models on each table alone and on all, and those that are not possible with the reason."""
    made: Rows = {}
    missing: Missing = []
    names = baselines.names_of(heads)
    tables = baselines.tables_of(cohorts[0])
    why = baselines.missing_reason(tables, heads)
    if why:
        return {}, [(name, why) for name in names]
    if len(tables) > 1:
        for table in tables:
            own = [_with_table(unit, cohorts[unit.repeat], table) for unit in units]
            if all(unit.train and unit.test for unit in own):
                alone = baselines.fit_baselines([narrowed(cohort, [table]) for cohort in cohorts], own, heads, seed,
                                                chosen=search.on(table) if search else None)
                made |= {f"{name} on {table}": rows for name, rows in alone.items()}
            else:
                missing += [(f"{name} on {table}", "a split has no case with this table") for name in names]
    chosen = search.on() if search else None
    return {**made, **baselines.fit_baselines(cohorts, units, heads, seed, chosen=chosen)}, missing


def _with_table(unit: Unit, cohort: Cohort, table: str) -> Unit:
    """The cases of a split that have a table: as a network of that input alone, the row has no result for others."""
    present = cohort.columns[table].present
    return replace(unit, train=tuple(row for row in unit.train if present[row]),
                   test=tuple(row for row in unit.test if present[row]))


def _constant(units: Sequence[Unit], cohorts: Sequence[Cohort], heads: Sequence[PlannedHead]) -> tuple[Rows, Missing]:
    other = next((head for head in heads if head.declared_task.keys), None)
    if other is not None:
        return {}, [(CONSTANT, f"there is none for the task {other.task!r} of the head {other.name!r}")]
    made = []
    for repeat, cohort in enumerate(cohorts):
        own = [unit for unit in units if unit.repeat == repeat]
        made.append(RepeatOutputs({head.name: joined([_told(head, cohort, unit) for unit in own])
                                   for head in heads}, 0.0))
    return {CONSTANT: tuple(made)}, []


def _told(head: PlannedHead, cohort: Cohort, unit: Unit) -> HeadOutputs:
    """The shares of the classes or labels, or the mean, among the training cases, for every test case."""
    target = cohort.targets[head.name]
    learned = np.array([row for row in unit.train if target.present[row]], dtype=np.int64)
    tested = np.array([row for row in unit.test if target.present[row]], dtype=np.int64)
    known = target.values[learned]
    if head.declared_task.cells == "class":
        told = np.bincount(known.astype(np.int64), minlength=len(head.names)) / max(len(known), 1)
    else:
        count = (~np.isnan(known)).sum(axis=0)
        told = np.nansum(known, axis=0) / np.maximum(count, 1)
    return HeadOutputs(tested, target.values[tested].astype(np.float64), np.tile(told, (len(tested), 1)))
