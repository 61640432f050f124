"""`fusionkit calibrate`: fit temperatures and prediction sets of a finished run on cases that it was not trained on."""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from typing import TYPE_CHECKING

from fusionkit.cli.arguments import add_running_options
from fusionkit.errors import DataError, Diagnostic
from fusionkit.interface.console import Console

if TYPE_CHECKING:
    from fusionkit.runs.folder import Run

SUMMARY = "Fit temperatures and prediction sets of a trained run on held-out cases."


def add_arguments(parser: ArgumentParser) -> None:
    """The options and arguments of the command."""
    parser.add_argument("run", metavar="RUN", help="the folder of a run")
    parser.add_argument("data", metavar="DATA", nargs="?", help="other data (default: the run's own validation cases)")
    parser.add_argument("--alpha", type=float, default=0.1, metavar="SHARE",
                        help="share of cases whose truth may be outside its prediction set (default 0.1)")
    parser.add_argument("--class-conditional", action="store_true", help="hold the share for each class by itself")
    add_running_options(parser)


def run(args: Namespace, console: Console) -> int:
    """Fit on the run's own validation cases, or on all cases of other data that have a target."""
    from fusionkit.evaluation.calibration import Choices, write_calibration
    from fusionkit.inference.ensemble import members_of
    from fusionkit.inference.predict import predict
    from fusionkit.interface.run_options import method_of, settings_of
    from fusionkit.registry.lookup import discover
    from fusionkit.runs.folder import cohort_of, open_run
    from fusionkit.runs.results import calibrate
    from fusionkit.runs.setup import cache_for

    if not 0 < args.alpha < 1:
        raise DataError(Diagnostic("bad-argument", f"--alpha cannot be {args.alpha:g}",
                                   why="it is the share of cases whose truth may be outside its set",
                                   fix="give a number between 0 and 1, such as 0.1"))
    registry = discover(files=args.plugins)
    opened = open_run(args.run, registry)
    method = method_of(opened, args.uncertainty, None, registry)
    models = opened.networks(members_of(method))
    named = _named(opened) if args.data is None else ()
    with console.progress("reading") as update:
        cohort = cohort_of(opened, args.data, require_targets=args.data is None, progress=update)
    rows = cohort.rows if args.data else tuple(row for row, name in enumerate(cohort.ids) if name in named)
    dataset = cohort.dataset(rows, opened.preprocessing, cache_for(args.data or opened.data))
    with console.progress("predicting") as update:
        results = predict(models, dataset, method, settings_of(opened, args), update)
    choices = Choices(alpha=args.alpha, class_conditional=args.class_conditional)
    made = calibrate(results, choices, args.data or "validation", method)
    if not made.heads:
        raise DataError(Diagnostic("no-cases", "no case has a result and a target to calibrate on",
                                   fix="give data with targets: fusionkit calibrate RUN DATA"))
    write_calibration(opened.folder, made)
    rows_of = [[name, str(head.cases), ", ".join(f"{value:.3f}" for value in head.temperatures), "; ".join(head.notes)]
               for name, head in made.heads.items()]
    console.table(["head", "cases", "temperature", "note"], rows_of, right=(1,))
    console.line(f"\nkept in {opened.folder / 'calibration.json'}: `fusionkit predict` and `fusionkit evaluate` use it")
    console.data(made.model_dump(mode="json"))
    return 0


def _named(opened: Run) -> frozenset[str]:
    """The run's own validation cases.

    Raises: DataError with `no-validation`.
    """
    named = frozenset(opened.about.get("validation") or ())
    if not named:
        raise DataError(Diagnostic("no-validation", f"the run in {str(opened.folder)!r} has no validation cases",
                                   why="a calibration is fitted on cases that the training did not learn from",
                                   fix="give such cases: fusionkit calibrate RUN DATA"))
    return named
