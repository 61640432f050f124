"""`fusionkit compare`: one node of a graph, several fusions in it, one table."""

from __future__ import annotations

import os
from argparse import ArgumentParser, Namespace
from pathlib import Path
from typing import TYPE_CHECKING

from fusionkit.cli.arguments import add_graph_options, add_training_options
from fusionkit.errors import Diagnostic, UserError
from fusionkit.interface.console import Console

if TYPE_CHECKING:
    from fusionkit.comparison.candidates import ComparisonPlan
    from fusionkit.comparison.tables import ComparisonResult
    from fusionkit.comparison.train import RepeatOutputs, Unit
    from fusionkit.data.loading import Cohort

SUMMARY = "Compare fusions: train each in one node, on the same cases and seeds."
FAILED = 1


def add_arguments(parser: ArgumentParser) -> None:
    """The options and arguments of the command."""
    parser.add_argument("graph", metavar="GRAPH", help="a graph file, or the name of a published graph")
    parser.add_argument("data", metavar="DATA", help="a data description (data.yaml)")
    parser.add_argument("--node", required=True, metavar="NODE", help="the node whose fusion is swapped")
    parser.add_argument("--with", required=True, metavar="ID,ID{OPTION: VALUE}", dest="candidates",
                        help="the fusions to try, beside the node's own, which is the reference")
    parser.add_argument("--folds", type=int, metavar="K", help="divide into K folds, instead of the data file's split")
    parser.add_argument("--repeats", type=int, default=1, metavar="N",
                        help="train N times, each with the next seed (default 1)")
    parser.add_argument("--metric", metavar="NAME", help="what to compare (default: auroc, of a regression mae)")
    parser.add_argument("--reuse", choices=("auto", "features", "batches", "nothing"), default="auto",
                        help="what candidates share of frozen nodes: features, computed once and kept; batches, "
                             "computed once for each batch; nothing (default auto)")
    parser.add_argument("--no-baselines", action="store_false", dest="baselines",
                        help="leave out each source alone, and scikit-learn on the tables")
    parser.add_argument("-o", "--output", metavar="DIR", default="compare",
                        help="where to write; the same command goes on with what it holds (default: compare)")
    add_training_options(parser, without=("fold",))
    add_graph_options(parser)


def run(args: Namespace, console: Console) -> int:
    """Check every candidate, train them, and write what came out."""
    from fusionkit.comparison import tables
    from fusionkit.comparison.candidates import plan_comparison
    from fusionkit.comparison.manifest import claim_comparison
    from fusionkit.comparison.scoring import metrics_of, rank_candidates
    from fusionkit.comparison.shared_training import ways_taken
    from fusionkit.comparison.splits import repeated
    from fusionkit.comparison.tables import ComparisonResult
    from fusionkit.comparison.train import train_all, units_of
    from fusionkit.registry.lookup import discover
    from fusionkit.training.flags import FLAGS

    _check_arguments(args)
    folder = Path(args.output)
    flags = {name: getattr(args, name) for name, _, _ in FLAGS if getattr(args, name, None) is not None}
    with console.progress("reading") as update:
        comparison = plan_comparison(args.graph, args.data, args.sets, args.node, args.candidates,
                                     registry=discover(files=args.plugins), flags=flags, singles=args.baselines,
                                     folds=args.folds, progress=update)
    heads = [head for head in comparison.reference.plan.heads if head.name in comparison.heads]
    metrics = metrics_of(heads, args.metric)
    cohorts = repeated(comparison.cohort, args.repeats)
    claim_comparison(folder, comparison, args.repeats)
    for warning in comparison.cohort.warnings:
        console.note(warning.render())
    for text in [*comparison.notes, *(f"{name} is left out: {why}" for name, why in comparison.left_out)]:
        console.line(text)
    trained = train_all(comparison, cohorts, folder, Path(args.data), console, reuse=args.reuse)
    units = units_of(comparison, cohorts)
    simple, missing = _baselines(comparison, cohorts, units) if args.baselines else ({}, [])
    missing += [(head.name, f"this head is not measured by {args.metric}") for head in heads
                if head.name not in metrics]
    for name, why in missing:
        console.line(f"{name} is left out: {why}")
    outcomes = {**trained.outcomes, **simple}
    kinds = {**{each.name: each.kind for each in comparison.candidates}, **dict.fromkeys(simple, "table")}
    with console.progress("comparing") as update:
        ranking = []
        for done, head in enumerate(head for head in heads if head.name in metrics):
            ranking.append(rank_candidates(head, metrics[head.name], outcomes, kinds, units,
                                           cohort=comparison.cohort, seed=comparison.settings.seed))
            update(done + 1, len(metrics))
    failed = [(name, f"failed: {why}") for name, why in trained.failed.items()]
    compared = ComparisonResult(comparison, tuple(units), tuple(ranking), tables.seconds_of(outcomes),
                        (*comparison.left_out, *missing, *failed), ways_taken(folder))
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


def _baselines(comparison: ComparisonPlan, cohorts: list[Cohort], units: list[Unit]
               ) -> tuple[dict[str, tuple[RepeatOutputs, ...]], list[tuple[str, str]]]:
    """What scikit-learn makes of the tables, or why there is none of it."""
    from fusionkit.comparison import baselines

    heads = [head for head in comparison.reference.plan.heads if head.name in comparison.heads]
    why = baselines.missing_reason(baselines.tables_of(comparison.cohort))
    if why:
        return {}, [(name, why) for name in baselines.names_of(heads)]
    return baselines.fit_baselines(cohorts, units, heads, comparison.settings.seed), []


def _write(folder: Path, compared: ComparisonResult, about: dict[str, str]) -> None:
    from fusionkit.comparison import tables
    from fusionkit.comparison.html_report import as_html
    from fusionkit.comparison.rank_plot import draw_ranks
    from fusionkit.files import write_text

    tables.write_tables(folder, compared, about)
    draw_ranks(folder, compared.rankings)
    write_text(folder / tables.REPORT, as_html(compared, folder))


def _show(folder: Path, compared: ComparisonResult, console: Console) -> None:
    from fusionkit.comparison import tables

    for ranking in compared.rankings:
        console.line(f"\n{tables.summary(compared, ranking)}")
        console.table(tables.header(ranking), tables.table(compared, ranking), right=(1, 3, 5, 6, 7, 8))
        for text in tables.verdicts(ranking):
            console.line(text)
    console.line(f"\nthe report is {folder / tables.REPORT}; beside it compare.csv, compare.json and the rank plot")
    console.data(tables.as_json(compared, {"folder": str(folder)}))
