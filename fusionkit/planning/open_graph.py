"""A graph by path, by the name of a published graph, or as plain data."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

from fusionkit.errors import Diagnostic, GraphError, did_you_mean
from fusionkit.registry.lookup import Registry, discover
from fusionkit.syntax.assign import assign
from fusionkit.syntax.reader import read, read_file
from fusionkit.syntax.tree import Tree
from fusionkit.syntax.writer import write

if TYPE_CHECKING:

    pass

Source = str | Path | Mapping[str, Any]


def open_graph(source: Source, sets: Sequence[str] = (), registry: Registry | None = None) -> Tree:
    """The tree of a graph: a path, the name of a published graph, or plain data; `sets` are `a.b=value`.

    Raises: GraphError if it cannot be read.
    """
    tree = _data(source) if isinstance(source, Mapping) else read_file(_locate(source, registry))
    for assignment in sets:
        tree = assign(tree, assignment)
    return tree


def _data(source: Mapping[str, Any]) -> Tree:
    """Plain data as a tree, through its YAML text, so that messages have lines to show."""
    try:
        text = write(dict(source))
    except (yaml.YAMLError, RecursionError) as problem:
        raise GraphError(Diagnostic("not-data", "the graph contains something that is not plain data",
                                    why=str(problem) if isinstance(problem, yaml.YAMLError) else "it contains itself",
                                    fix="use dicts, lists, text, numbers, true, false and None")) from None
    return read(text, "<graph>")


def _locate(source: str | Path, registry: Registry | None) -> Path:
    path = Path(source)
    if isinstance(source, str) and "\n" in source:
        raise GraphError(Diagnostic("unreadable-file", "the text of a graph was given where its path is expected",
                                    fix="pass a path, or the graph as a dict"))
    if _exists(path) or path.suffix in (".yaml", ".yml") or len(path.parts) > 1:
        return path
    known = registry or discover()
    published = known.graph(str(source))
    if published:
        return published
    raise GraphError(Diagnostic("unreadable-file", f"there is no file and no published graph named {str(source)!r}",
                                fix=did_you_mean(str(source), known.graphs, "give the path of a graph file")))


def _exists(path: Path) -> bool:
    try:
        return path.exists()
    except (OSError, ValueError):
        return False
