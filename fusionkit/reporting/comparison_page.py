"""The page of a comparison: ranks, intervals and margins from `compare.json`, with the plots beside it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from html import escape
from pathlib import Path
from typing import Any

from fusionkit import __version__
from fusionkit.errors import DataError, Diagnostic
from fusionkit.evaluation.formatting import figures
from fusionkit.files import plain_json
from fusionkit.pages import bullets, embedded, page, picture, table
from fusionkit.reporting.case_flow import CaseFlow, flow_svg
from fusionkit.reporting.run_files import COMPARED, RunFiles, read_run

_KEPT_APART = ("name", "kind", "value", "low", "high", "note", "cases", "values", "difference", "weights",
               "trained_weights", "multiply_adds", "seconds", "equivalence", "delong", "spread", "difference_spread",
               "outlook")


def read_comparison(folder: Path) -> Mapping[str, Any]:
    """The results of a finished comparison.

    Raises: DataError with `nothing-to-report`.
    """
    found = plain_json(folder / COMPARED)
    if found is None or not isinstance(found.get("heads"), dict):
        raise DataError(Diagnostic("nothing-to-report", f"the comparison in {str(folder)!r} has not finished",
                                   why=f"it has no {COMPARED}", fix="repeat its command, which goes on"))
    return found


def first_run(folder: Path) -> RunFiles | None:
    """The files of one network of the comparison, which has the cases of all."""
    for path in sorted(folder.glob("runs/*/*")):
        try:
            return read_run(path)
        except DataError:
            continue
    return None


def comparison_page(folder: Path, found: Mapping[str, Any], flow: CaseFlow | None) -> str:
    """The page as HTML."""
    node = str(found.get("node"))
    parts = [f"<h1>Networks compared at node {escape(node)}</h1>",
             f'<p class="quiet">written by fusionkit {__version__} from compare.json</p>']
    parts += _not_run(found.get("time"))
    if flow is not None:
        parts += ["<h2>Cases of one split</h2>", embedded(flow_svg(flow).encode(), "the way of the cases")]
    for head, ranking in found["heads"].items():
        parts += [f"<h2>{escape(head)}: {escape(str(ranking['metric']))}</h2>", *_ranking(ranking)]
    parts += ["<h2>Plots</h2>", *(picture(path, path.stem, path.stem) for path in sorted(folder.glob("*.svg"))),
              "<h2>Splits</h2>", table(("repeat", "fold", "training cases", "test cases"), [
                  ["" if unit.get(key) is None else str(unit[key]) for key in ("repeat", "fold", "train", "test")]
                  for unit in found.get("units", [])], range(4), "small"),
              "<h2>Further</h2>", bullets((
                  "report.html in the folder of the comparison says how to read the table, and what it does not show",
                  "fusionkit report FOLDER/runs/NAME/... gives the report of one network"))]
    return page(f"networks compared at {node}", parts, landscape=True)


def _ranking(ranking: Mapping[str, Any]) -> Iterator[str]:
    better = "lower is better" if ranking.get("lower_is_better") else "higher is better"
    people = "" if ranking.get("patients") is None else f" of {ranking['patients']} patients"
    told = f"{ranking['cases']} cases{people}; {better}; test of differences: {ranking['test']}"
    yield f"<p>{escape(told)}</p>"
    rows = sorted(ranking["rows"], key=lambda row: (row["value"] is None, _place(row, ranking)))
    yield table(("rank", "network", "value", "95 % interval", "difference", "95 % interval", "p", "p (Holm)", "weights",
                 "note"), [[str(place), *_row(row)] for place, row in enumerate(rows, start=1)], range(2, 9))
    yield from _margins(rows, ranking.get("claim"))
    yield from _order(ranking.get("order"))
    others = {key: value for key, value in ranking.items() if key not in (
        "metric", "lower_is_better", "cases", "patients", "test", "simultaneous_intervals", "claim", "rows", "order")}
    extra = [f"{row['name']}: {key} {value}" for row in rows
             for key, value in {**row, **(row.get("difference") or {})}.items()
             if key not in (*_KEPT_APART, "p", "holm") and value is not None]
    further = [*(f"{key}: {value}" for key, value in others.items() if value is not None), *extra]
    if further:
        yield bullets(further)


def _order(order: Mapping[str, Any] | None) -> Iterator[str]:
    """The mean ranks of the networks over the folds, and which of them are not shown to differ."""
    if not order:
        return
    groups = [set(names) for names in order["not_shown_to_differ"]]
    yield table(("network", f"mean rank over {order['folds']} folds", "not shown to differ from"), [
        [name, figures(rank), ", ".join(sorted(set().union(*(group for group in groups if name in group)) - {name}))]
        for name, rank in order["mean_ranks"].items()], (1,), "small")


def _not_run(time: Mapping[str, Any] | None) -> list[str]:
    """What a budget left out."""
    missing = (time or {}).get("not_run") or []
    if not missing or time is None:
        return []
    places = ", ".join(f"repeat {each['repeat']} fold {(each['fold'] or 0) + 1}" for each in missing)
    told = f"Not run for want of time: {len(missing)} of {time['splits']} splits ({places})."
    return [f"<p><strong>{escape(told)}</strong></p>"]


def _margins(rows: Sequence[Mapping[str, Any]], claim: Mapping[str, Any] | None) -> Iterator[str]:
    """What the rows are shown to be beside the reference, and how folds and seeds explain the spread."""
    made = []
    for row in rows:
        near, areas, apart = (row.get(key) or {} for key in ("equivalence", "delong", "spread"))
        if near or areas or apart:
            shown = {True: "shown", False: "not shown", None: ""}[near.get("shown")]
            made.append([str(row["name"]), _figure(near.get("smallest_margin")), shown, _figure(near.get("p_holm")),
                         _interval(areas), _figure(areas.get("p")), _figure(apart.get("share_of_folds"))])
    if made:
        told = f"{claim['kind']} within {claim['margin']:g}" if claim else "claim"
        yield table(("network", "worse by at most", told, "p (Holm)", "DeLong, 95 % interval", "p",
                     "share of folds in the variance"), made, (1, 3, 5, 6), "small")


def _place(row: Mapping[str, Any], ranking: Mapping[str, Any]) -> float:
    value = float(row["value"] or 0)
    return value if ranking.get("lower_is_better") else -value


def _row(row: Mapping[str, Any]) -> list[str]:
    apart = row.get("difference") or {}
    return [f"{row['name']}\n{row['kind']}", _figure(row.get("value")), _interval(row), _figure(apart.get("value")),
            _interval(apart), _figure(apart.get("p")), _figure(apart.get("holm")), str(row.get("weights") or ""),
            "; ".join(text for text in (row.get("note"), apart.get("note")) if text)]


def _figure(value: float | None) -> str:
    return "" if value is None else figures(value)


def _interval(found: Mapping[str, Any]) -> str:
    low, high = found.get("low"), found.get("high")
    return "" if low is None or high is None else f"{figures(low)} to {figures(high)}"
