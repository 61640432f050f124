"""`fusionkit evaluate`: metrics with intervals and plots of a finished run."""

from __future__ import annotations

from argparse import Namespace
from pathlib import Path

from fusionkit.commands.methods import method_of
from fusionkit.console import Console
from fusionkit.evaluation.report import TABLE_COLUMNS, HeadReport, table
from fusionkit.inference import Settings, predict
from fusionkit.registry import discover
from fusionkit.results import write_results
from fusionkit.runs import cache_for, cohort_of, open_run


def run(args: Namespace, console: Console) -> int:
    """Evaluate on the run's own test cases, or on all cases of other data that have a target."""
    registry = discover(files=args.plugins)
    opened = open_run(args.run, registry)
    method = method_of(opened.model.plan, args.uncertainty, None, registry)
    with console.progress("reading") as update:
        cohort = cohort_of(opened, args.data, require_targets=args.data is None, progress=update)
    if args.data:
        rows = cohort.rows
    else:
        position = {name: row for row, name in enumerate(cohort.ids)}
        rows = tuple(position[name] for name in opened.about["test"] if name in position)
    dataset = cohort.dataset(rows, opened.preprocessing, cache_for(args.data or opened.data))
    with console.progress("predicting") as update:
        results = predict(opened.model, dataset, method, Settings(device=args.device), update)
    folder = Path(args.output) if args.output else opened.folder / (f"evaluation-{Path(args.data).parent.name}"
                                                                    if args.data else "")
    about = {"run": str(opened.folder), "data": str(args.data or opened.data), "cases": len(rows)}
    made = write_results(folder, results, cohort, rows, about=about)
    show(made, console)
    console.line(f"\nmetrics, predictions and plots are in {folder}")
    console.data({"folder": str(folder), "heads": {report.head: report.to_json() for report in made}})
    return 0


def show(made: list[HeadReport], console: Console) -> None:
    """The metrics of every head, each with its interval."""
    for report in made:
        console.line(f"{report.head}: {report.counts}")
    console.table(list(TABLE_COLUMNS), [list(row) for row in table(made)], right=(3,))
