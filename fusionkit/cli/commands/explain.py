"""`fusionkit explain`: where a trained network looks, how it sees the cases, and how much each modality counts."""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from pathlib import Path

from fusionkit.cli.arguments import add_device_options
from fusionkit.interface.console import Console

SUMMARY = "Look inside a trained run: Grad-CAM, t-SNE, the share of each modality."
CASE_COLUMNS = ["case", "head", "why", "explained", "predicted", "truth"]


def add_arguments(parser: ArgumentParser) -> None:
    """The options and arguments of the command."""
    parser.add_argument("run", metavar="RUN", help="the folder of a run")
    parser.add_argument("--case", nargs="+", action="extend", default=[], metavar="ID", dest="cases",
                        help="cases to look at (default: some that it picks)")
    parser.add_argument("--data", metavar="DATA", help="other data (default: the run's own test cases)")
    parser.add_argument("--head", metavar="HEAD", help="explain this head only (default: every one)")
    parser.add_argument("--class", metavar="NAME", dest="class_name",
                        help="explain this class, label or value (default: what is predicted of each case)")
    parser.add_argument("--at", nargs="+", action="extend", default=[], metavar="PLACE",
                        help="draw Grad-CAM at these nodes or modules (default: every encoder behind an image or "
                             "volume)")
    parser.add_argument("--node", metavar="NODE",
                        help="draw t-SNE of what this node gives (default: what the head reads)")
    parser.add_argument("-o", "--output", metavar="DIR", help="where to write (default: RUN/explain)")
    add_device_options(parser)


def run(args: Namespace, console: Console) -> int:
    """Explain the run's own test cases, or cases of other data, by its first network with randomness off."""
    from fusionkit.explanation.activations import look
    from fusionkit.explanation.class_prior import TrainingPrior
    from fusionkit.explanation.figures import draw_embeddings, draw_maps
    from fusionkit.explanation.modality_shares import report_gates, report_shapley
    from fusionkit.explanation.output_folder import Folder
    from fusionkit.explanation.request import (
        EXPLAIN,
        Explanation,
        Request,
        case_rows,
        cases_of,
        chosen_of,
        resolve_request,
    )
    from fusionkit.explanation.selection import require_packages
    from fusionkit.inference.predict import Settings
    from fusionkit.registry.lookup import discover
    from fusionkit.runs.folder import cohort_of, open_run
    from fusionkit.runs.setup import cache_for
    from fusionkit.training.settings import read_settings

    require_packages()
    registry = discover(files=args.plugins)
    opened = open_run(args.run, registry)
    trained = read_settings(opened.model.plan.graph.training)
    settings = Settings(trained.batch_size, args.device)
    opened.model.to(settings.chosen_device)
    request = Request(args.head, args.class_name, tuple(args.cases), tuple(args.at), args.node)
    resolved = resolve_request(opened.model, request)
    with console.progress("reading") as update:
        cohort = cohort_of(opened, args.data, require_targets=False, progress=update)
    cases = cases_of(opened, cohort, request, own=args.data is None, cache=cache_for(args.data or opened.data),
                     settings=settings)
    chosen = chosen_of(resolved, cases, request)
    made = Explanation(Folder(Path(args.output) if args.output else opened.folder / "explain"), list(resolved.notes))
    if opened.members > 1:
        made.notes.append(f"the first of the {opened.members} networks of the run is explained")
    rows, made.data["cases"] = case_rows(resolved, cases, chosen)
    console.table(CASE_COLUMNS, rows, right=(4,))
    draw_maps(made, resolved, cases, chosen, settings.chosen_device)
    features, gates = look(resolved.survey, cases.dataset, set(resolved.values.values()), settings)
    draw_embeddings(made, resolved, cases, features)
    report_gates(made, cases, gates, chosen)
    with console.progress("subsets of the inputs") as update:
        report_shapley(made, resolved, cases, chosen, registry,
                       prior=TrainingPrior(opened, None if args.data else cohort), settings=settings, progress=update)
    made.notes[:] = dict.fromkeys(made.notes)
    for heading, header, table in made.tables:
        console.line(f"\n{heading}")
        console.table(header, table)
    for note in made.notes:
        console.note(note)
    content = made.write({"run": str(opened.folder), "data": str(args.data or opened.data),
                          "tested": int(cases.tested.sum())})
    console.line(f"\n{len(made.folder.files)} pictures and tables are in {made.folder.path}; {EXPLAIN} lists them")
    console.data({"folder": str(made.folder.path), **content})
    return 0
