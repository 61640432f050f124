"""`fusionkit.explain`: where a trained network looks, how it arranges the cases, what each modality contributes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape
from os import PathLike
from pathlib import Path
from typing import Any

from fusionkit.components.component import Component
from fusionkit.data.loading import Cohort
from fusionkit.explanation.activations import look
from fusionkit.explanation.class_prior import TrainingPrior
from fusionkit.explanation.explained_part import (
    ExplainedPart,
    cases_of_all,
    gates_of_all,
    requests_of_folds,
    shares_of_all,
)
from fusionkit.explanation.figures import draw_embeddings, draw_maps
from fusionkit.explanation.modality_shares import report_gates, report_shapley, shapley_shares
from fusionkit.explanation.output_folder import Folder
from fusionkit.explanation.request import (
    Cases,
    Explanation,
    Request,
    case_rows,
    cases_of,
    chosen_of,
    resolve_request,
)
from fusionkit.explanation.selection import require_packages
from fusionkit.inference.predict import Settings
from fusionkit.interface.console import Console, console_for
from fusionkit.interface.opened_run import Device, check_device
from fusionkit.interface.tables import html_table
from fusionkit.registry.lookup import Registry, discover
from fusionkit.runs.fold_networks import open_runs
from fusionkit.runs.folder import cohort_of
from fusionkit.runs.setup import cache_for
from fusionkit.training.settings import read_settings

CASE_COLUMNS = ("case", "head", "why", "explained", "predicted", "truth")


@dataclass(frozen=True)
class ExplainedRun:
    """The explanation of a run: tables under headings, notes, pictures in `folder`; `content` is all of it as data."""

    folder: Path
    tables: list[tuple[str, list[str], list[list[str]]]]
    notes: list[str]
    content: Mapping[str, Any]

    @property
    def files(self) -> list[Path]:
        """The pictures and tables that were written."""
        return [self.folder / name for name in self.content["files"]]

    def rows(self) -> list[dict[str, Any]]:
        """One record for each case that was explained."""
        return [dict(case) for case in self.content["cases"]]

    def _repr_html_(self) -> str:
        return "".join(f"<p>{escape(heading)}</p>{html_table(header, rows)}" for heading, header, rows in self.tables)


def explain(
    run: str | PathLike[str],
    *,
    cases: Sequence[str] = (),
    data: str | Path | None = None,
    head: str | None = None,
    class_name: str | None = None,
    at: Sequence[str] = (),
    node: str | None = None,
    output: str | Path | None = None,
    device: Device = "auto",
    fold: int | None = None,
    data_roots: Sequence[str | Path] = (),
    plugins: Sequence[str | Path] = (),
    components: Sequence[Component] = (),
    quiet: bool = False,
    console: Console | None = None,
) -> ExplainedRun:
    """Explain the run's own test cases, or cases of other data, by its first network with randomness off.

    Of a run of folds each of its own cases is explained by the network of its fold, and other data by that of the first
    fold; with `fold` all by the network of that one.

    The options are those of `fusionkit explain`, whose `--case` is `cases` here and whose `--class` is `class_name`.
    Your own components come from the Python files `plugins`, or as `components`. `quiet` hides the chosen cases and
    progress; `console` is where they are shown.
    Raises: GraphError or DataError with everything that is wrong; UserError when `fusionkit[explain]` is not installed.
    """
    require_packages()
    console = console_for(console, quiet)
    registry = discover(components=components, files=[str(file) for file in plugins])
    runs = open_runs(Path(run), fold, registry)
    check_device(device)
    # Other cases were met by no fold: one network explains them, as any does.
    other = len(runs) > 1 and data is not None and Path(data).resolve() != runs[0].data.resolve()
    together = len(runs) > 1 and not other
    chosen_runs = runs if together else runs[:1]
    trained = read_settings(runs[0].model.plan.graph.training)
    settings = Settings(trained.batch_size, device)
    request = Request(head, class_name, tuple(cases), tuple(at), node)
    resolved = [resolve_request(opened.model.to(settings.chosen_device), request) for opened in chosen_runs]
    with console.progress("reading") as update:
        cohort = cohort_of(runs[0], data, require_targets=False, progress=update, data_roots=data_roots)
    for warning in cohort.warnings if data is not None else ():
        console.note(warning.render())
    cache = cache_for(data or runs[0].data)
    parts: list[ExplainedPart] = []
    for number, mine in (requests_of_folds(request, runs, cohort) if together else {0: request}).items():
        found = cases_of(chosen_runs[number], cohort, mine, own=data is None or together, cache=cache,
                         settings=settings)
        parts.append(ExplainedPart(chosen_runs[number], resolved[number], found,
                                   sum(len(part.cases.ids) for part in parts), number if together else None))
    made = Explanation(Folder(Path(output) if output else Path(run) / "explain"), list(resolved[0].notes))
    if other:
        made.notes.append(f"the network of fold 0 of {len(runs)} is explained; --fold chooses another")
    if together:
        made.notes.append("each case is explained by the network of its fold, which did not see it; t-SNE is drawn "
                          "fold by fold, since features of different networks cannot be compared")
    if runs[0].members > 1:
        made.notes.append(f"the first of the {runs[0].members} networks of {'each' if together else 'the'} run is "
                          "explained")
    known = _explain_parts(made, parts, request, registry, settings=settings, console=console,
                           cohort=None if data and not together else cohort)
    made.notes[:] = dict.fromkeys(made.notes)
    content = made.write({"run": str(run if together else runs[0].folder), "data": str(data or runs[0].data),
                          "tested": int(known.tested.sum())})
    return ExplainedRun(made.folder.path, made.tables, made.notes, content)


def _explain_parts(made: Explanation, parts: Sequence[ExplainedPart], request: Request, registry: Registry, *,
                   settings: Settings, console: Console, cohort: Cohort | None) -> Cases:
    """Write every picture and table; `cohort` is that of the run's own data, if it is open. Returns the cases."""
    resolved, known = parts[0].resolved, cases_of_all([part.cases for part in parts])
    chosen = chosen_of(resolved, known, request)
    rows, made.data["cases"] = case_rows(resolved, known, chosen)
    console.table(CASE_COLUMNS, rows, right=(4,))
    for part in parts:
        if part.fold is not None:
            for case in made.data["cases"]:
                case.update({"fold": part.fold} if case["case"] in part.cases.ids else {})
        draw_maps(made, part.resolved, part.cases, part.own(chosen), settings.chosen_device)
    gates = []
    for part in parts:
        features, mine = look(part.resolved.survey, part.cases.dataset, set(part.resolved.values.values()), settings)
        draw_embeddings(made, part.resolved, part.cases, features, part.fold)
        gates.append(mine)
    report_gates(made, known, gates_of_all(gates), chosen)
    shares = []
    for part in parts:
        of_fold = "" if part.fold is None else f", fold {part.fold}"
        with console.progress(f"subsets of the inputs{of_fold}") as update:
            shares.append(shapley_shares(made, part.resolved, part.cases, registry,
                                         prior=TrainingPrior(part.run, cohort), settings=settings, progress=update))
    report_shapley(made, resolved, known, chosen, shares_of_all(shares))
    return known
