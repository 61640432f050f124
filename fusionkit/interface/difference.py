"""`fusionkit diff`: what changed from one graph or run to another, in settings, data and results."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from fusionkit.errors import DataError, Diagnostic, GraphError, UserError
from fusionkit.files import plain_json
from fusionkit.graph.builder import from_tree
from fusionkit.planning.open_graph import open_graph
from fusionkit.planning.resolve import resolve_partly
from fusionkit.planning.write_graph import written_options
from fusionkit.records.difference import Change, GraphDifference, changes, changes_json, difference
from fusionkit.records.run_folders import CASES, DATA, GRAPH, LOCK, HeadRow, RunRow, folds_of, plain_yaml, read_row
from fusionkit.registry.lookup import Registry, discover
from fusionkit.syntax.tree import Mapping as Tables
from fusionkit.syntax.tree import Tree

Values = tuple[float | None, float | None, float | None]


@dataclass(frozen=True)
class ComparedMetric:
    """One metric of one head in two runs, each as value, low and high; None where a run does not have it."""

    head: str
    metric: str
    label: str
    first: Values | None
    second: Values | None

    @property
    def change(self) -> float | None:
        """The second value less the first."""
        values = [each[0] if each else None for each in (self.first, self.second)]
        return None if values[0] is None or values[1] is None else values[1] - values[0]


@dataclass(frozen=True)
class CasesDifference:
    """How the cases of two runs differ: ids in one of them alone, ids whose values differ, ids in other parts.

    `common` is the number of ids in both. All are empty where a run does not record its cases.
    """

    common: int = 0
    first_alone: tuple[str, ...] = ()
    second_alone: tuple[str, ...] = ()
    other_values: tuple[str, ...] = ()
    other_parts: tuple[str, ...] = ()

    @property
    def same(self) -> bool:
        """Whether both runs have the same cases in the same parts."""
        return not (self.first_alone or self.second_alone or self.other_values or self.other_parts)


@dataclass(frozen=True)
class SourceDifference:
    """What changed from A to B: of graphs the settings, of runs also the data, the cases, packages and results."""

    graph: GraphDifference
    runs: bool
    data: tuple[Change, ...] = ()
    cases: CasesDifference = field(default_factory=CasesDifference)
    packages: tuple[Change, ...] = ()
    results: tuple[ComparedMetric, ...] = ()

    def as_json(self) -> dict[str, Any]:
        """The difference as plain data, for `--json`."""
        found: dict[str, Any] = {"settings": self.graph.as_json()}
        if not self.runs:
            return found
        cases = self.cases
        return found | {
            "data": changes_json(self.data), "packages": changes_json(self.packages),
            "cases": {"common": cases.common, "first_alone": list(cases.first_alone),
                      "second_alone": list(cases.second_alone), "other_values": list(cases.other_values),
                      "other_parts": list(cases.other_parts)},
            "results": [{"head": each.head, "metric": each.metric, "first": each.first, "second": each.second,
                         "change": each.change} for each in self.results]}


@dataclass(frozen=True)
class _Side:
    graph: Mapping[str, Any]
    folder: Path | None = None
    row: RunRow | None = None


def diff(first: str | Path, second: str | Path, *, as_written: bool = False, plugins: Sequence[str | Path] = ()
         ) -> SourceDifference:
    """What changed from one graph or run to another; one of each is compared in its settings.

    Options that are not written count with their defaults, and so do settings of training, unless `as_written`.
    Raises: GraphError if a graph cannot be read, DataError with `not-a-run`.
    """
    registry = discover(files=[str(file) for file in plugins])
    one, other = (_side(source, registry, as_written) for source in (first, second))
    graph = difference(one.graph, other.graph)
    if one.folder is None or other.folder is None or one.row is None or other.row is None:
        return SourceDifference(graph, runs=False)
    data, other_data = (plain_yaml(_own(side) / DATA) for side in (one, other))
    lock, other_lock = (plain_json(_own(side) / LOCK) or {} for side in (one, other))
    return SourceDifference(graph, True, tuple(changes(data, other_data)), _cases(one.folder, other.folder),
                            tuple(changes(lock, other_lock)), tuple(_results(one.row, other.row)))


def _side(source: str | Path, registry: Registry, as_written: bool) -> _Side:
    path = Path(source)
    if path.is_dir():
        row = read_row(path, path)
        if row is None or row.kind == "comparison":
            what = "a comparison, which holds several runs" if row else "neither a run nor a graph"
            raise DataError(Diagnostic("not-a-run", f"{str(source)!r} is {what}",
                                       fix=f"give one of its runs: fusionkit runs {source} --inner" if row
                                       else "give the folder of a run, or a graph file"))
        own = (folds_of(path) or [path])[0]
        return _Side(plain_yaml(own / GRAPH), path, row)
    tree = open_graph(source if isinstance(source, str) else str(source), (), registry)
    return _Side(_with_defaults(tree, registry) if not as_written else _plain(tree))


def _own(side: _Side) -> Path:
    """The folder of the run, or that of its first fold."""
    assert side.folder is not None
    return (folds_of(side.folder) or [side.folder])[0]


def _plain(tree: Tree) -> Mapping[str, Any]:
    from fusionkit.syntax.tree import to_plain

    found = to_plain(tree)
    return found if isinstance(found, dict) else {}


def _with_defaults(tree: Tree, registry: Registry) -> Mapping[str, Any]:
    """A graph with every option that is known, also where it has mistakes."""
    from fusionkit.training.settings import read_settings

    try:
        graph = from_tree(tree)
    except GraphError as error:
        if not isinstance(tree, Tables):
            raise
        graph = error.partial
    data = written_options(resolve_partly(graph, registry)[0])
    try:
        settings = read_settings(graph.training, registry=registry)
    except UserError:
        return data
    return data | {"training": settings.model_dump(mode="json", exclude_none=True)}


def _cases(first: Path, second: Path) -> CasesDifference:
    one, other = (plain_json(folder / CASES) or {} for folder in (first, second))
    digests = [record.get("cases") for record in (one, other)]
    if not all(isinstance(found, dict) for found in digests):
        return CasesDifference()
    mine, theirs = (dict(found or {}) for found in digests)
    common = [name for name in mine if name in theirs]
    parts, their_parts = _parts(one), _parts(other)
    return CasesDifference(
        len(common), tuple(name for name in mine if name not in theirs),
        tuple(name for name in theirs if name not in mine),
        tuple(name for name in common if mine[name] != theirs[name]),
        tuple(name for name in common if parts.get(name) != their_parts.get(name)))


def _parts(record: Mapping[str, Any]) -> dict[str, str]:
    """The part or fold of each case."""
    parts = record.get("parts")
    named = dict(parts) if isinstance(parts, dict) else {}
    folds = record.get("folds")
    named.update((f"fold {number}", ids) for number, ids in enumerate(folds if isinstance(folds, list) else ()))
    return {str(name): part for part, ids in named.items() if isinstance(ids, list) for name in ids}


def _results(first: RunRow, second: RunRow) -> Iterator[ComparedMetric]:
    nothing = HeadRow("", None, {}, {})
    for head in dict.fromkeys([*first.heads, *second.heads]):
        one, other = first.heads.get(head, nothing), second.heads.get(head, nothing)
        for metric in dict.fromkeys([*one.metrics, *other.metrics]):
            label = one.labels.get(metric) or other.labels.get(metric) or metric
            yield ComparedMetric(head, metric, label, one.metrics.get(metric), other.metrics.get(metric))
