"""`fusionkit predict`: one row for each case."""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from pathlib import Path

from fusionkit.cli.arguments import add_running_options
from fusionkit.interface.console import Console

SUMMARY = "Predict: one row for each case, with uncertainty where asked."


def add_arguments(parser: ArgumentParser) -> None:
    """The options and arguments of the command."""
    parser.add_argument("run", metavar="RUN", help="the folder of a run")
    parser.add_argument("data", metavar="DATA", help="a data description; targets are not needed")
    parser.add_argument("-o", "--output", metavar="FILE", help="a CSV file (default: print)")
    parser.add_argument("--samples", type=int, help="random passes of the uncertainty method")
    add_running_options(parser)


def run(args: Namespace, console: Console) -> int:
    """Open the run, check the cases, predict, write or print."""
    from fusionkit.inference.ensemble import members_of
    from fusionkit.inference.predict import predict
    from fusionkit.interface.run_options import calibration_of, method_of, settings_of
    from fusionkit.registry.lookup import discover
    from fusionkit.runs.folder import cohort_of, open_run
    from fusionkit.runs.results import as_csv, calibrated, rows_of, write_predictions
    from fusionkit.runs.setup import cache_for

    registry = discover(files=args.plugins)
    opened = open_run(args.run, registry)
    method = method_of(opened, args.uncertainty, args.samples, registry)
    calibration = calibration_of(opened, method, console)
    models = opened.networks(members_of(method))
    with console.progress("reading") as update:
        cohort = cohort_of(opened, args.data, require_targets=False, progress=update)
    for warning in cohort.warnings:
        console.note(warning.render())
    dataset = cohort.dataset(cohort.rows, opened.preprocessing, cache_for(args.data))
    with console.progress("predicting") as update:
        results = predict(models, dataset, method, settings_of(opened, args), update)
    results = calibrated(results, calibration)
    header, rows = rows_of(results, cohort.ids)
    if args.output:
        write_predictions(Path(args.output), results, cohort.ids)
        console.line(f"{len(rows)} cases written to {args.output}")
    elif not args.json:
        print(as_csv(header, rows), end="", file=console.output)
    console.data({"cases": [dict(zip(header, row, strict=True)) for row in rows],
                  "file": args.output, "uncertainty": method.step.use if method else None})
    return 0
