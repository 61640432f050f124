"""`fusionkit calibrate`: fit temperatures and prediction sets of a finished run on cases that it was not trained on."""

from __future__ import annotations

from argparse import ArgumentParser, Namespace

from fusionkit.cli.arguments import add_running_options, given
from fusionkit.interface.console import Console

SUMMARY = "Fit temperatures and prediction sets of a trained run on held-out cases."


def add_arguments(parser: ArgumentParser) -> None:
    """The options and arguments of the command."""
    parser.add_argument("run", metavar="RUN", help="the folder of a run")
    parser.add_argument("data", metavar="DATA", nargs="?", help="other data (default: the run's own validation cases)")
    parser.add_argument("--alpha", type=float, default=0.1, metavar="SHARE",
                        help="share of cases whose true class may be outside the prediction set (default 0.1)")
    parser.add_argument("--class-conditional", action="store_true", help="guarantee it for each class separately")
    parser.add_argument("--sets", default="lac", metavar="KIND",
                        help="lac: classes that are likely enough (the default); aps: the likeliest classes until "
                             "enough is in; raps: the same with a penalty, for more than 20 classes; grades with an "
                             "order always have sets without gaps")
    parser.add_argument("--intervals", default="auto", metavar="KIND",
                        help="of numbers: absolute, normalised (by 'sd'), cqr or cqr-asymmetric (by quantiles); auto "
                             "takes what the head tells (the default)")
    parser.add_argument("--include-training-cases", action="store_true",
                        help="allow fitting on training cases, which are refused by default")
    parser.add_argument("--follow-up", default="", metavar="COLUMN",
                        help="of survival: the time until which each case could have been followed, where censoring is "
                             "administrative; without it cases are weighed for censoring")
    parser.add_argument("--threshold", default="", metavar="RULE",
                        help="choose the probability from which a case is positive instead: youden, cost=4, "
                             "sensitivity=0.9, specificity=0.9, probability=4 or a number; saved in threshold.json. "
                             "cost=4,prevalence=0.02 for use where another share of the cases is positive")
    add_running_options(parser)


def run(args: Namespace, console: Console) -> int:
    """Fit on the run's own validation cases, or on all cases of other data that have a target."""
    from fusionkit.evaluation.thresholds import THRESHOLD
    from fusionkit.interface.calibrate import COLUMNS, calibrate
    from fusionkit.interface.thresholds import COLUMNS as THRESHOLD_COLUMNS
    from fusionkit.interface.thresholds import KeptThresholds

    made = calibrate(**given(args), console=console)
    if isinstance(made, KeptThresholds):
        console.table(THRESHOLD_COLUMNS, made.table(), right=(2, 4, 5))
        console.line(f"\nsaved in {' and '.join(str(folder / THRESHOLD) for folder in made.folders)}: `fusionkit "
                     "predict` and `fusionkit evaluate` use it; these figures are of the cases it was chosen on")
        console.data([each.model_dump(mode="json") for each in made.thresholds])
        return 0
    console.table(COLUMNS, made.table(), right=(1,))
    console.line(f"\nsaved in {made.folder / 'calibration.json'}: `fusionkit predict` and `fusionkit evaluate` use it")
    console.data(made.calibration.model_dump(mode="json"))
    return 0
