"""`fusionkit evaluate`: metrics with intervals and plots of a finished run."""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fusionkit.cli.arguments import add_running_options
from fusionkit.interface.console import Console

if TYPE_CHECKING:
    from fusionkit.evaluation.report import HeadReport

SUMMARY = "Evaluate a trained run: metrics with intervals, and plots."


def add_arguments(parser: ArgumentParser) -> None:
    """The options and arguments of the command."""
    parser.add_argument("run", metavar="RUN", help="the folder of a run")
    parser.add_argument("data", metavar="DATA", nargs="?", help="other data (default: the run's own test cases)")
    parser.add_argument("-o", "--output", metavar="DIR",
                        help="where to write (default: RUN, or RUN/evaluation of DATA)")
    parser.add_argument("--missing", action="store_true",
                        help="also take inputs away: the metrics of every selection of inputs, as a table and a curve")
    add_running_options(parser)


def run(args: Namespace, console: Console) -> int:
    """Evaluate on the run's own test cases, or on all cases of other data that have a target."""
    from fusionkit.evaluation.missing_inputs import COLUMNS, write_selections
    from fusionkit.evaluation.missing_inputs import rows as rows_of_selections
    from fusionkit.inference.ensemble import members_of
    from fusionkit.inference.predict import predict
    from fusionkit.interface.run_options import calibration_of, method_of, settings_of
    from fusionkit.registry.lookup import discover
    from fusionkit.runs.folder import cohort_of, open_run
    from fusionkit.runs.input_subsets import evaluate_selections, optional_networks
    from fusionkit.runs.results import calibrated, write_results
    from fusionkit.runs.setup import cache_for

    registry = discover(files=args.plugins)
    opened = open_run(args.run, registry)
    method = method_of(opened, args.uncertainty, None, registry)
    calibration = calibration_of(opened, method, console)
    models = opened.networks(members_of(method))
    optional = optional_networks(models, registry) if args.missing else []
    with console.progress("reading") as update:
        cohort = cohort_of(opened, args.data, require_targets=args.data is None, progress=update)
    if args.data:
        rows = cohort.rows
    else:
        position = {name: row for row, name in enumerate(cohort.ids)}
        rows = tuple(position[name] for name in opened.about["test"] if name in position)
    dataset = cohort.dataset(rows, opened.preprocessing, cache_for(args.data or opened.data))
    with console.progress("predicting") as update:
        results = predict(models, dataset, method, settings_of(opened, args), update)
    results = calibrated(results, calibration)
    folder = Path(args.output) if args.output else opened.folder / (f"evaluation-{Path(args.data).parent.name}"
                                                                    if args.data else "")
    about = {"run": str(opened.folder), "data": str(args.data or opened.data), "cases": len(rows)}
    made = write_results(folder, results, cohort, rows, about=about)
    show(made, console)
    data: dict[str, Any] = {"folder": str(folder), "heads": {report.head: report.to_json() for report in made}}
    if optional:
        named = cohort.description.patient is not None
        patients = [cohort.patients[row] for row in rows] if named else None
        with console.progress("taking inputs away") as update:
            found = evaluate_selections(optional, dataset, method, settings_of(opened, args), calibration=calibration,
                                        patients=patients,
                                        progress=update)
        write_selections(folder, found)
        console.line()
        console.table(list(COLUMNS), [list(row) for row in rows_of_selections(found)], right=(2, 4))
        data["selections"] = [selection.to_json() for selection in found]
    console.line(f"\nmetrics, predictions and plots are in {folder}")
    console.data(data)
    return 0


def show(made: list[HeadReport], console: Console) -> None:
    """The metrics of every head, each with its interval."""
    from fusionkit.evaluation.report import TABLE_COLUMNS, TRUST_COLUMNS, table, trust_table

    for report in made:
        console.line(f"{report.head}: {report.counts}")
    console.table(list(TABLE_COLUMNS), [list(row) for row in table(made)], right=(3,))
    trusted = trust_table(made)
    if trusted:
        console.line()
        console.table(list(TRUST_COLUMNS), [list(row) for row in trusted])
