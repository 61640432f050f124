"""The page of a run: everything that its folder says, section by section."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path

from fusionkit import __version__
from fusionkit.evaluation.formula_intervals import FORMULA_COLUMNS, formula_rows
from fusionkit.pages import bullets, embedded, page, picture, table, table_of_rows
from fusionkit.reporting.case_flow import CaseFlow, flow_svg
from fusionkit.reporting.characteristics import characteristic_tables
from fusionkit.reporting.checklists import CHECKLISTS, filled
from fusionkit.reporting.facts import TOPICS, metric_text
from fusionkit.reporting.readable_rows import readable
from fusionkit.reporting.run_files import (
    BESIDE,
    CASE_MIX,
    MISSING,
    NOT_RECORDED,
    SITES,
    SUBGROUPS,
    WORST,
    RunFiles,
    named,
)
from fusionkit.reporting.training_curves import STEM

_MOST_EXPLAINED = 24
_MOST_ROWS = 200


@dataclass(frozen=True)
class NetworkDrawing:
    """The network as SVG, and its components: name, licence; `why` says what is wrong where it is empty."""

    svg: str = ""
    components: tuple[tuple[str, ...], ...] = ()
    why: str = ""


def run_page(run: RunFiles, drawing: NetworkDrawing, flow: CaseFlow | None, folder: Path, checklist: str) -> str:
    """The page as HTML; `folder` has the curves of training."""
    sections: Sequence[tuple[str, Callable[[], Iterable[str]]]] = (
        ("Cases", lambda: _flow(flow)), ("Table 1: characteristics", lambda: _characteristics(run)),
        ("Network", lambda: _network(drawing)), ("Training", lambda: _training(run, folder)),
        ("Metrics", lambda: _metrics(run)), ("Plots", lambda: _plots(run)),
        ("Subgroups", lambda: _csv(run, SUBGROUPS, "fusionkit evaluate RUN --by COLUMN")),
        *([("Sites left out of training in turn", lambda: _csv(run, SITES, "a split with leave_out"))]
          if run.cases.get("fold_names") else []),
        ("Beside other data", lambda: _beside(run)),
        ("Absent inputs", lambda: _csv(run, MISSING, "fusionkit evaluate RUN --missing")),
        ("Cases that were predicted worst", lambda: _csv(run, WORST, "fusionkit evaluate RUN")),
        ("Explanations", lambda: _explanations(run)), ("Versions, licences and files", lambda: _files(run, drawing)),
        (f"Checklist: {CHECKLISTS[checklist][0]}", lambda: _checklist(run, checklist)))
    parts = [f"<h1>{escape(run.name)}</h1>", f'<p class="quiet">{escape(_line(run))}</p>']
    for heading, made in sections:
        parts += [f"<h2>{escape(heading)}</h2>", *made()]
    return page(f"{run.name}: report", parts)


def _line(run: RunFiles) -> str:
    outcomes = ", ".join(run.data.get("targets", {})) or NOT_RECORDED
    return f"outcome: {outcomes}; written by fusionkit {__version__} from the files of the run"


def _absent(text: str) -> str:
    return f'<p class="quiet">{escape(text)}</p>'


def _flow(flow: CaseFlow | None) -> Iterator[str]:
    if flow is None:
        yield _absent(f"{NOT_RECORDED}: the run was made by a release that kept no counts of its cases")
    else:
        yield embedded(flow_svg(flow).encode(), "the way of the cases from the table to the results")


def _characteristics(run: RunFiles) -> Iterator[str]:
    tables = characteristic_tables(run)
    if not tables:
        yield _absent("no columns are read from the table" if run.cohort else NOT_RECORDED)
    for heading, names, rows in tables:
        yield f"<h3>{escape(heading)}</h3>"
        yield table(names, rows, range(1, len(names)))
    if run.cohort.get("columns_left_out"):
        yield _absent(f"{run.cohort['columns_left_out']} further columns are left out")
    if tables:
        yield _absent("Statistics of fewer than five cases are not recorded.")


def _network(drawing: NetworkDrawing) -> Iterator[str]:
    yield embedded(drawing.svg.encode(), "the network") if drawing.svg else _absent(f"not drawn: {drawing.why}")


def _training(run: RunFiles, folder: Path) -> Iterator[str]:
    drawn = folder / f"{STEM}.svg"
    yield picture(drawn, "losses by epoch") if drawn.is_file() else _absent(f"losses by epoch: {NOT_RECORDED}")
    yield _absent("Training losses are means of an epoch while the weights change. A loss that compares cases with "
                  "each other, such as Cox's, depends on how many are compared: there the curves of training and "
                  "validation need not meet.")
    yield bullets(fact.text for topic in ("trained", "imbalance") for fact in TOPICS[topic](run))


def _metrics(run: RunFiles) -> Iterator[str]:
    if not run.heads:
        yield _absent(f"The run is not evaluated. To evaluate it: fusionkit evaluate {run.folder.name}")
    for head, found in run.heads.items():
        yield f"<h3>{escape(head)}</h3>"
        every = {"all": found["metrics"], **found["per_class"]}
        yield table(("of", "metric", "value (95 % interval)", "note"), [
            (of, named(found, name), metric_text(metric), metric.get("note") or "") for of, metrics in every.items()
            for name, metric in metrics.items()])
        if rows := formula_rows(head, found):
            yield table(FORMULA_COLUMNS[1:], [row[1:] for row in rows], (2,))
        yield _matrices(found)
    yield bullets(fact.text for fact in TOPICS["measures"](run))


def _matrices(found: dict[str, object]) -> str:
    parts = []
    matrices = found.get("confusion")
    for matrix in matrices if isinstance(matrices, list) else []:
        rows = [(name, *map(str, counts)) for name, counts in zip(
            matrix["classes"], matrix["rows_true_columns_predicted"], strict=True)]
        if len(rows) <= 12:
            names = (f"true {matrix['of']}".strip(), *(f"predicted {name}" for name in matrix["classes"]))
            parts.append(table(names, rows, range(1, len(names)), "small"))
    return "".join(parts)


def _plots(run: RunFiles) -> Iterator[str]:
    found = run.pictures()
    if not found:
        yield _absent("no plots are in the folder of the run; fusionkit evaluate draws them")
    else:
        yield '<div class="row">' + "".join(picture(path, path.stem, path.stem) for path in found) + "</div>"


def _csv(run: RunFiles, name: str, command: str) -> Iterator[str]:
    rows = run.rows(name)
    if len(rows) < 2:
        yield _absent(f"{name} has no row" if rows else f"not evaluated; {command} does it")
        return
    yield table(*readable(run, rows[0], rows[1:_MOST_ROWS + 1]))
    if len(rows) - 1 > _MOST_ROWS:
        yield _absent(f"{len(rows) - 1 - _MOST_ROWS} further rows are in {name}")


def _beside(run: RunFiles) -> Iterator[str]:
    yield from _csv(run, BESIDE, "fusionkit evaluate RUN --beside OTHER")
    if rows := run.rows(CASE_MIX):
        yield "<h3>Mix of cases</h3>"
        yield table(rows[0], rows[1:_MOST_ROWS + 1])


def _explanations(run: RunFiles) -> Iterator[str]:
    if not run.explained:
        yield _absent(f"not made; fusionkit explain {run.folder.name} makes them")
        return
    folder = run.folder / "explain"
    found = sorted([*folder.glob("*.svg"), *folder.glob("*.png")])
    yield '<div class="row">' + "".join(
        picture(path, path.stem, path.stem) for path in found[:_MOST_EXPLAINED]) + "</div>"
    if len(found) > _MOST_EXPLAINED:
        yield _absent(f"{len(found) - _MOST_EXPLAINED} further pictures are in the folder explain")


def _files(run: RunFiles, drawing: NetworkDrawing) -> Iterator[str]:
    yield bullets(f"{fact.text} (from {fact.source})" for topic in ("versions", "initial_weights", "data_files")
                  for fact in TOPICS[topic](run))
    yield _absent("The licence of weights is shown where the graph names it; of others it is not recorded.")
    if drawing.components:
        yield table(("component", "licence of its code"), drawing.components, (), "small")
    yield table(("file", "bytes", "SHA-256"), [(name, str(size), digest) for name, size, digest in run.hashes()], (1,))


def _checklist(run: RunFiles, name: str) -> Iterator[str]:
    rows = []
    for each in filled(name, run):
        told = "\n".join(f"{fact.text} [{fact.source}]" for fact in each.facts)
        look = ' class="open"' if each.left else ""
        rows.append(f"<tr><td>{escape(f'{each.item.number} {each.item.about}'.strip())}</td><td>{escape(told)}</td>"
                    f"<td{look}>{escape(each.left)}</td></tr>")
    yield table_of_rows(("item", "from the run [source]", "left to the authors"), rows)
