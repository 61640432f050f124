"""`fusionkit demo`: from no data at all to results, and what each of them means."""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from pathlib import Path
from time import monotonic
from typing import TYPE_CHECKING

from fusionkit.cli.arguments import seed
from fusionkit.errors import Diagnostic, GraphError
from fusionkit.interface.console import Console

if TYPE_CHECKING:
    from fusionkit.cli import demonstration

SUMMARY = "A small complete run: data, training, evaluation, prediction."
_MOST_CASES = 100_000
_ORGANS = """\
Which organ lies at the middle of a small cube of a real CT?
  image   a cube of 27 mm, in HU: shows the tissue, not the place
  table   where in the body it was cut, blurred by 30 mm: the place, not the tissue
Neither is enough. Three networks are trained on five folds; blocks of 36 mm of the body stay
together, so that a cube is not tested on a network that saw the same place."""

_ORGANS_END = """\
The accuracy is the share of cubes classified correctly, each by a network that never saw its block
of the body; ten organs, so guessing gives about 0.100. The interval is a 95 % bootstrap over cubes.
This is not a clinical result: it is one patient, with labels from a segmentation network and
positions that we blurred ourselves. It shows that the pipeline runs end to end."""

_PHANTOM_END = """\
The ceiling is the accuracy of the best possible classifier, known because the cases were drawn from
a known distribution (docs/phantom.md). A network may come close to it but must not exceed it by
more than three standard errors: that would mean a leak from the test cases."""


def add_arguments(parser: ArgumentParser) -> None:
    """The options and arguments of the command."""
    parser.add_argument("folder", metavar="DIR", nargs="?", default="fusionkit-demo",
                        help="where to write (default: fusionkit-demo)")
    parser.add_argument("--phantom", metavar="SCENARIO", help="a synthetic CT cohort with a known best accuracy")
    parser.add_argument("--tables", action="store_true", help="the breast-cancer tables of scikit-learn")
    parser.add_argument("--cases", type=int, help="how many cases to make")
    parser.add_argument("--seed", type=seed, default=0, help="seed of data and training (default 0)")


def run(args: Namespace, console: Console) -> int:
    """One of the three demonstrations."""
    from fusionkit.cli import demonstration

    started, folder = monotonic(), Path(args.folder)
    if args.phantom and args.tables:
        raise GraphError(Diagnostic("bad-argument", "--phantom and --tables are two demonstrations", fix="choose one"))
    if args.cases is not None and not 100 <= args.cases <= _MOST_CASES:
        raise GraphError(Diagnostic("bad-argument", f"--cases {args.cases} is too "
                                    f"{'few to train and test on' if args.cases < 100 else 'many for a demonstration'}",
                                    fix=f"ask for 100 to {_MOST_CASES:,}"))
    if args.phantom:
        made = demonstration.phantom(folder, args.phantom, args.cases, args.seed, console)
    elif args.tables:
        made = demonstration.tables(folder, args.seed, console)
    else:
        console.line(_ORGANS)
        made = demonstration.organs(folder, args.cases, args.seed, console)
    _show(made, args, console)
    console.line(f"\n{monotonic() - started:.0f} seconds")
    console.data({"data": str(made.data), "runs": {name: str(path) for name, path in made.runs.items()},
                  "figures": [{"name": f.name, "accuracy": f.accuracy, "low": f.low, "high": f.high,
                               "cases": f.cases, "ceiling": f.ceiling} for f in made.figures]})
    return 1 if any(figure.passes for figure in made.figures) else 0


def _show(made: demonstration.Demo, args: Namespace, console: Console) -> None:
    header = ["network", "accuracy", "95 % interval"] + (["ceiling"] if args.phantom else [])
    console.line(f"\naccuracy on {made.figures[0].cases} cases")
    console.table(header, [figure.row() for figure in made.figures], right=(1, 3))
    console.line()
    if args.phantom:
        console.line(_PHANTOM_END)
    elif not args.tables:
        console.line(_ORGANS_END)
    for figure in made.figures:
        if figure.passes:
            console.note(f"{figure.name} exceeds its ceiling by more than three standard errors: something leaks")
    _predictions(made, console)
    fused = made.runs[made.fused]
    fold = fused / "fold-0" if (fused / "fold-0").is_dir() else fused
    console.line("\nfiles")
    console.line(f"  {made.data}: the cohort, in the form that a user would write")
    for name, path in made.runs.items():
        console.line(f"  {path}: {name}: predictions.csv, metrics.json, plots")
    console.line("what to try next")
    console.line(f"  fusionkit predict {fold} {made.data}")
    console.line(f"  fusionkit evaluate {fold}")


def _predictions(made: demonstration.Demo, console: Console) -> None:
    """A few predictions of the fused network, the most uncertain first."""
    from fusionkit.cli import demonstration

    rows = demonstration.doubtful(made, 4)
    console.line(f"\nthe {len(rows)} most uncertain predictions of the fused network (entropy in nats, over "
                 "random passes)")
    console.table(["case", "predicted", "probability", "entropy", "true"],
                  [[row.case, row.predicted, f"{row.probability:.2f}", f"{row.entropy:.2f}", row.true] for row in rows],
                  right=(2, 3))
