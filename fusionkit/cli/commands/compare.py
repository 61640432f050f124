"""`fusionkit compare`: one node of a graph, several fusions in it, one table."""

from __future__ import annotations

import os
from argparse import Namespace
from pathlib import Path

from fusionkit.cli.console import Console
from fusionkit.cli.training_flags import TRAINING_FLAGS
from fusionkit.comparison import baselines, tables
from fusionkit.comparison.candidates import LineUp, line_up
from fusionkit.comparison.html_report import as_html
from fusionkit.comparison.manifest import claim_comparison
from fusionkit.comparison.rank_plot import draw_ranks
from fusionkit.comparison.scoring import judge, metrics_of
from fusionkit.comparison.shared_training import ways_taken
from fusionkit.comparison.splits import repeated
from fusionkit.comparison.tables import Compared
from fusionkit.comparison.train import Outcome, Unit, train_all, units_of
from fusionkit.data.loading import Cohort
from fusionkit.errors import Diagnostic, UserError
from fusionkit.files import write_text
from fusionkit.registry.lookup import discover

FAILED = 1


def run(args: Namespace, console: Console) -> int:
    """Check every candidate, train them, and write what came out."""
    _check_arguments(args)
    folder = Path(args.output)
    flags = {name: getattr(args, name) for name, _, _ in TRAINING_FLAGS if getattr(args, name, None) is not None}
    with console.progress("reading") as update:
        lined = line_up(args.graph, args.data, args.sets, args.node, args.candidates, discover(files=args.plugins),
                        flags=flags, singles=args.baselines, folds=args.folds, progress=update)
    heads = [head for head in lined.reference.plan.heads if head.name in lined.heads]
    metrics = metrics_of(heads, args.metric)
    cohorts = repeated(lined.cohort, args.repeats)
    claim_comparison(folder, lined, args.repeats)
    for warning in lined.cohort.warnings:
        console.note(warning.render())
    for text in [*lined.notes, *(f"{name} is left out: {why}" for name, why in lined.left_out)]:
        console.line(text)
    trained = train_all(lined, cohorts, folder, Path(args.data), console, args.reuse)
    units = units_of(lined, cohorts)
    simple, missing = _baselines(lined, cohorts, units) if args.baselines else ({}, [])
    missing += [(head.name, f"this head is not measured by {args.metric}") for head in heads
                if head.name not in metrics]
    for name, why in missing:
        console.line(f"{name} is left out: {why}")
    outcomes = {**trained.outcomes, **simple}
    kinds = {**{each.name: each.kind for each in lined.candidates}, **dict.fromkeys(simple, "table")}
    with console.progress("comparing") as update:
        judged = []
        for done, head in enumerate(head for head in heads if head.name in metrics):
            judged.append(judge(head, metrics[head.name], outcomes, kinds, units, lined.cohort,
                                seed=lined.settings.seed))
            update(done + 1, len(metrics))
    failed = [(name, f"failed: {why}") for name, why in trained.failed.items()]
    compared = Compared(lined, tuple(units), tuple(judged), tables.seconds_of(outcomes),
                        (*lined.left_out, *missing, *failed), ways_taken(folder))
    _write(folder, compared, {"graph": str(args.graph), "data": str(args.data)})
    _show(folder, compared, console)
    return FAILED if trained.failed else 0


def _check_arguments(args: Namespace) -> None:
    found = []
    if args.folds is not None and args.folds < 2:
        found.append(Diagnostic("bad-argument", f"--folds cannot be {args.folds}", why="a fold is tested by a network "
                                "that learned from the others", fix="use at least 2, for example --folds 5"))
    if args.repeats < 1:
        found.append(Diagnostic("bad-argument", f"--repeats cannot be {args.repeats}", fix="use at least 1"))
    if int(os.environ.get("WORLD_SIZE", "1")) > 1:
        found.append(Diagnostic("bad-argument", "candidates are compared in one process",
                                fix="start it without torchrun"))
    if found:
        raise UserError(found)


def _baselines(lined: LineUp, cohorts: list[Cohort], units: list[Unit]
               ) -> tuple[dict[str, tuple[Outcome, ...]], list[tuple[str, str]]]:
    """What scikit-learn makes of the tables, or why there is none of it."""
    heads = [head for head in lined.reference.plan.heads if head.name in lined.heads]
    why = baselines.missing_reason(baselines.tables_of(lined.cohort))
    if why:
        return {}, [(name, why) for name in baselines.names_of(heads)]
    return baselines.fit_baselines(cohorts, units, heads, lined.settings.seed), []


def _write(folder: Path, compared: Compared, about: dict[str, str]) -> None:
    tables.write_tables(folder, compared, about)
    draw_ranks(folder, compared.judged)
    write_text(folder / tables.REPORT, as_html(compared, folder))


def _show(folder: Path, compared: Compared, console: Console) -> None:
    for judged in compared.judged:
        console.line(f"\n{tables.summary(compared, judged)}")
        console.table(tables.header(judged), tables.table(compared, judged), right=(1, 3, 5, 6, 7, 8))
        for text in tables.verdicts(judged):
            console.line(text)
    console.line(f"\nthe report is {folder / tables.REPORT}; beside it compare.csv, compare.json and the rank plot")
    console.data(tables.as_json(compared, {"folder": str(folder)}))
