"""`fusionkit.explain`: where a trained network looks, how it arranges the cases, what each modality contributes."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from html import escape
from os import PathLike
from pathlib import Path
from typing import Any

from fusionkit.components.declaration import Declaration
from fusionkit.explanation.cases import case_rows, chosen_of
from fusionkit.explanation.methods import chosen_explanations
from fusionkit.explanation.output_folder import Folder
from fusionkit.explanation.views import RunPart, RunView
from fusionkit.files import write_json
from fusionkit.inference.predict import Settings
from fusionkit.interface.console import Console, console_for
from fusionkit.interface.explained_runs import (
    Request,
    networks_of,
    own_targets,
    part_of,
    placed,
    requested_of_folds,
    resolve_request,
)
from fusionkit.interface.opened_run import Device, check_device
from fusionkit.interface.tables import html_table
from fusionkit.registry.lookup import discover
from fusionkit.runs.fold_networks import open_runs
from fusionkit.runs.folder import Run, cohort_of
from fusionkit.runs.setup import cache_for
from fusionkit.training.settings import read_settings

EXPLAIN = "explain.json"
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
    methods: Sequence[str] = (),
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
    components: Sequence[Declaration] = (),
    quiet: bool = False,
    console: Console | None = None,
) -> ExplainedRun:
    """Explain the run's own test cases, or cases of other data, with randomness off.

    What is explained are all networks of the run if their mean predicts, else its first. Of a run of folds each of its
    own cases is explained by the run of its fold, and other data by that of the first fold; with `fold` all by that
    one. `methods` are installed explanations, with options, as in `"gradcam{at: [lungs]}"`; without them, those that
    run by default. `at` and `node` are options of the methods that have them.

    The options are those of `fusionkit explain`, whose `--case` is `cases` here, `--class` is `class_name` and
    `--method` is `methods`. Your own components come from the Python files `plugins`, or as `components`. `quiet` hides
    the chosen cases and progress; `console` is where they are shown.
    Raises: GraphError or DataError with everything that is wrong; UserError when a method or its packages are missing.
    """
    console = console_for(console, quiet)
    registry = discover(components=components, files=[str(file) for file in plugins])
    shorthand = {name: value for name, value in (("at", list(at)), ("node", node)) if value}
    chosen = chosen_explanations([methods] if isinstance(methods, str) else methods, shorthand, registry)
    runs = open_runs(Path(run), fold, registry)
    check_device(device)
    # Other cases were met by no fold: one run explains them, as any does.
    other = len(runs) > 1 and data is not None and Path(data).resolve() != runs[0].data.resolve()
    together = len(runs) > 1 and not other
    settings = Settings(read_settings(runs[0].model.plan.graph.training).batch_size, device)
    request = Request(head, class_name, tuple(cases))
    networks = [networks_of(opened, registry, settings) for opened in (runs if together else runs[:1])]
    heads = resolve_request(networks[0][0], request, chosen)
    with console.progress("reading") as update:
        cohort = cohort_of(runs[0], data, require_targets=False, progress=update, data_roots=data_roots)
    for warning in cohort.warnings if data is not None else ():
        console.note(warning.render())
    cached = cache_for(data or runs[0].data)
    named = requested_of_folds(request.cases, runs, cohort) if together else {0: request.cases}
    targets = own_targets(runs[0]) if data and not together else None
    parts, known = placed({number: part_of(
        runs[number], networks[number], cohort, mine, own=data is None or together, cache=cached, targets=targets)
        for number, mine in named.items()}, together)
    view = RunView(parts, known, heads, tuple(chosen_of(heads, known, request.cases)),
                   Folder(Path(output) if output else Path(run) / "explain"), console.progress)
    view.notes.extend(_how_explained(runs, parts, other=other, together=together))
    rows, told = case_rows(heads, known, view.chosen)
    console.table(CASE_COLUMNS, rows, right=(4,))
    for part in parts:
        if part.fold is not None:
            for case in told:
                case.update({"fold": part.fold} if case["case"] in part.cases.ids else {})
    content = {"fusionkit-explain": 1, "run": str(run if together else runs[0].folder),
               "data": str(data or runs[0].data), "tested": int(known.tested.sum()), "cases": told,
               **{method.declared.name: method.explain(view) for method in chosen}}
    content |= {"notes": list(dict.fromkeys(view.notes)), "files": view.folder.files}
    write_json(view.folder.path / EXPLAIN, content)
    return ExplainedRun(view.folder.path, view.tables, content["notes"], content)


def _how_explained(runs: Sequence[Run], parts: Sequence[RunPart], *, other: bool, together: bool) -> Iterator[str]:
    """Notes on which networks explain what."""
    if other:
        yield f"the network of fold 0 of {len(runs)} is explained; --fold chooses another"
    if together:
        yield "each case is explained by the network of its fold, which did not see it"
    members, explained = runs[0].members, len(parts[0].networks)
    each = "each" if together else "the"
    if explained > 1:
        yield f"{each} run predicts by the mean of its {explained} networks"
    elif members > 1:
        yield f"the first of the {members} networks of {each} run is explained"
