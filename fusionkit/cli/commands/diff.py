"""`fusionkit diff`: what changed from one graph or run to another."""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from fusionkit.cli.arguments import add_plugin_option
from fusionkit.interface.console import Console

if TYPE_CHECKING:
    from fusionkit.interface.difference import SourceDifference
    from fusionkit.records.difference import Change

SUMMARY = "Show what changed from one graph or run to another: settings, data, results."
_NAMED = 5


def add_arguments(parser: ArgumentParser) -> None:
    """The options and arguments of the command."""
    parser.add_argument("first", metavar="A", help="a graph file, the name of a published graph, or a run's folder")
    parser.add_argument("second", metavar="B", help="another one")
    parser.add_argument("--as-written", action="store_true",
                        help="compare graphs as they are written; otherwise what is left out counts as its default")
    add_plugin_option(parser)


def run(args: Namespace, console: Console) -> int:
    """Print the differences."""
    from fusionkit.interface.difference import diff

    found = diff(args.first, args.second, as_written=args.as_written, plugins=args.plugins)
    for line in told(found):
        console.line(line)
    if found.results:
        console.line("" if found.cases.same else "The results are for different cases.")
        columns = ("head", "metric", "A (95 % interval)", "B (95 % interval)", "B - A")
        console.table(columns, _results(found), right=(4,))
        console.line("Whether a change is more than chance is not told by two intervals: fusionkit compare tests it.")
    console.data(found.as_json())
    return 0


def told(found: SourceDifference) -> Iterator[str]:
    """What changed, in lines."""
    graph = found.graph
    if graph.same:
        yield "the settings are the same"
    yield from (f"new      {name}" for name in graph.added)
    yield from (f"gone     {name}" for name in graph.gone)
    yield from (f"renamed  {old} -> {new}" for old, new in graph.renamed.items())
    for name, each in graph.changed.items():
        yield from (f"changed  {name}.{line}" for line in _lines(each))
    yield from (f"changed  {line}" for line in _lines(graph.top))
    if not found.runs:
        return
    yield from (f"data     {line}" for line in _lines(found.data)) if found.data else ["the data files say the same"]
    yield _cases(found)
    yield from (f"version  {line}" for line in _lines(found.packages))


def _lines(changes: tuple[Change, ...]) -> Iterator[str]:
    yield from (f"{key}: {_shown(old)} -> {_shown(new)}" for key, old, new in changes)


def _shown(value: Any) -> str:
    from fusionkit.records.difference import ABSENT
    from fusionkit.syntax.text_changes import in_one_line

    return "not there" if value is ABSENT else in_one_line(value)


def _cases(found: SourceDifference) -> str:
    cases = found.cases
    if not cases.common and cases.same:
        return "cases    not recorded by both runs"
    if cases.same:
        return f"cases    the same {cases.common} in the same parts"
    kinds = (("in A alone", cases.first_alone), ("in B alone", cases.second_alone),
             ("with other values", cases.other_values), ("in another part", cases.other_parts))
    return f"cases    {cases.common} in both; " + "; ".join(
        f"{len(names)} {what}: {', '.join(names[:_NAMED])}{' ...' if len(names) > _NAMED else ''}"
        for what, names in kinds if names)


def _results(found: SourceDifference) -> list[list[str]]:
    from fusionkit.interface.run_list import metric_told

    return [[each.head, each.label, *(metric_told(*values) if values else "" for values in (each.first, each.second)),
             "" if each.change is None else f"{each.change:+.3f}"] for each in found.results]
