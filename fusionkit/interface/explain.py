"""`fusionkit.explain`: where a trained network looks, how it arranges the cases, what each modality contributes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape
from os import PathLike
from pathlib import Path
from typing import Any

from fusionkit.components.component import Component
from fusionkit.explanation.activations import look
from fusionkit.explanation.class_prior import TrainingPrior
from fusionkit.explanation.figures import draw_embeddings, draw_maps
from fusionkit.explanation.modality_shares import report_gates, report_shapley
from fusionkit.explanation.output_folder import Folder
from fusionkit.explanation.request import (
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
from fusionkit.registry.lookup import discover
from fusionkit.runs.fold_networks import fold_folders, open_runs
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

    Of a run of folds the network of `fold` is explained, of the first fold when it is None.

    The options are those of `fusionkit explain`, whose `--case` is `cases` here and whose `--class` is `class_name`.
    Your own components come from the Python files `plugins`, or as `components`. `quiet` hides the chosen cases and
    progress; `console` is where they are shown.
    Raises: GraphError or DataError with everything that is wrong; UserError when `fusionkit[explain]` is not installed.
    """
    require_packages()
    console = console_for(console, quiet)
    registry = discover(components=components, files=[str(file) for file in plugins])
    folds = fold_folders(Path(run))
    opened = open_runs(Path(run), 0 if folds and fold is None else fold, registry)[0]
    check_device(device)
    trained = read_settings(opened.model.plan.graph.training)
    settings = Settings(trained.batch_size, device)
    opened.model.to(settings.chosen_device)
    request = Request(head, class_name, tuple(cases), tuple(at), node)
    resolved = resolve_request(opened.model, request)
    with console.progress("reading") as update:
        cohort = cohort_of(opened, data, require_targets=False, progress=update, data_roots=data_roots)
    for warning in cohort.warnings if data is not None else ():
        console.note(warning.render())
    known = cases_of(opened, cohort, request, own=data is None, cache=cache_for(data or opened.data),
                     settings=settings)
    chosen = chosen_of(resolved, known, request)
    made = Explanation(Folder(Path(output) if output else Path(run) / "explain"), list(resolved.notes))
    if folds and fold is None:
        made.notes.append(f"the network of fold 0 of {len(folds)} is explained; --fold chooses another")
    if opened.members > 1:
        made.notes.append(f"the first of the {opened.members} networks of the run is explained")
    rows, made.data["cases"] = case_rows(resolved, known, chosen)
    console.table(CASE_COLUMNS, rows, right=(4,))
    draw_maps(made, resolved, known, chosen, settings.chosen_device)
    features, gates = look(resolved.survey, known.dataset, set(resolved.values.values()), settings)
    draw_embeddings(made, resolved, known, features)
    report_gates(made, known, gates, chosen)
    with console.progress("subsets of the inputs") as update:
        report_shapley(made, resolved, known, chosen, registry,
                       prior=TrainingPrior(opened, None if data else cohort), settings=settings, progress=update)
    made.notes[:] = dict.fromkeys(made.notes)
    content = made.write({"run": str(opened.folder), "data": str(data or opened.data),
                          "tested": int(known.tested.sum())})
    return ExplainedRun(made.folder.path, made.tables, made.notes, content)
