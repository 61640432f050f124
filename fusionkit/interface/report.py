"""`fusionkit.report`: one page, a checklist and a model card of a run or of a comparison."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from os import PathLike
from pathlib import Path

from fusionkit.components.component import Component
from fusionkit.drawing.svg import svg
from fusionkit.errors import DataError, Diagnostic, UserError
from fusionkit.files import write_text
from fusionkit.interface.plan import plan
from fusionkit.reporting.case_flow import case_flow, flow_mermaid, flow_svg
from fusionkit.reporting.checklists import CHECKLISTS, checklist_markdown, model_card
from fusionkit.reporting.comparison_page import comparison_page, first_run, read_comparison
from fusionkit.reporting.run_files import GRAPH, RunFiles, is_comparison, read_run
from fusionkit.reporting.run_page import NetworkDrawing, run_page
from fusionkit.reporting.training_curves import draw_training

PAGE, CARD = "report.html", "model_card.md"


@dataclass(frozen=True)
class Report:
    """The files of a report; `page` is to be looked at, `evaluated` says whether the run has metrics."""

    page: Path
    files: tuple[Path, ...]
    evaluated: bool


def report(
    folder: str | PathLike[str],
    *,
    output: str | Path | None = None,
    checklist: str = "tripod-ai",
    plugins: Sequence[str | Path] = (),
    components: Sequence[Component] = (),
) -> Report:
    """Write what the folder of a run or a comparison says: a page that stands alone, a checklist and a model card.

    Nothing is predicted or measured: a run without metrics gets a page that says so. Without `output` the files go to
    the folder `report` in the run. `checklist` is `tripod-ai`, `claim` or `stard-ai`.
    Raises: DataError with `nothing-to-report`, `bad-argument` or `unreadable-run`.
    """
    source = Path(folder)
    target = Path(output) if output is not None else source / "report"
    if checklist not in CHECKLISTS:
        raise DataError(Diagnostic("bad-argument", f"--checklist cannot be {checklist!r}",
                                   fix=f"give one of {', '.join(CHECKLISTS)}"))
    try:
        if is_comparison(source):
            return _of_comparison(source, target)
        return _of_run(read_run(source), target, checklist, plugins, components)
    except (KeyError, TypeError, AttributeError, IndexError, ValueError) as problem:
        raise DataError(Diagnostic("unreadable-run", f"the files of {str(source)!r} do not say what a report needs",
                                   why=f"{type(problem).__name__}: {problem}",
                                   fix="train or evaluate again, if they were changed")) from problem


def _of_comparison(source: Path, target: Path) -> Report:
    found = read_comparison(source)
    run = first_run(source)
    flow = case_flow(run) if run is not None else None
    target.mkdir(parents=True, exist_ok=True)
    write_text(target / PAGE, comparison_page(source, found, flow))
    return Report(target / PAGE, (target / PAGE,), True)


def _of_run(run: RunFiles, target: Path, checklist: str, plugins: Sequence[str | Path],
            components: Sequence[Component]) -> Report:
    target.mkdir(parents=True, exist_ok=True)
    written = draw_training(run, target)
    flow = case_flow(run)
    texts = {PAGE: run_page(run, _drawing(run, plugins, components), flow, target, checklist),
             f"checklist-{checklist}.md": checklist_markdown(checklist, run), CARD: model_card(run)}
    if flow is not None:
        texts |= {"case-flow.svg": flow_svg(flow), "case-flow.mmd": flow_mermaid(flow)}
    for name, text in texts.items():
        write_text(target / name, text)
    return Report(target / PAGE, (*(target / name for name in texts), *written), bool(run.heads))


def _drawing(run: RunFiles, plugins: Sequence[str | Path], components: Sequence[Component]) -> NetworkDrawing:
    """The network of the run, unless a package that it needs is not installed."""
    try:
        made = plan(run.own / GRAPH, plugins=plugins, components=components, measured=False)
    except UserError as problem:
        return NetworkDrawing(why=problem.diagnostics[0].message)
    calls = [call for node in made.nodes for lane in node.lanes for call in lane.calls]
    used = {f"{call.component.kind}.{call.component.name}": call.component for call in calls}
    rows = tuple((name, component.licence) for name, component in sorted(used.items()))
    return NetworkDrawing(svg(made), rows)
