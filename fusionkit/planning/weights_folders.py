"""Finds the folders of pretrained weights that the options of components name, at any depth."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from fusionkit.components.config import Config
from fusionkit.components.inner import inside as parts_inside
from fusionkit.components.inner import places_in, with_parts
from fusionkit.errors import Diagnostic, Span
from fusionkit.files import inside
from fusionkit.pretrained.folder import WeightsFolder
from fusionkit.registry.inner import written_at
from fusionkit.syntax.tree import TYPED, Tree
from fusionkit.syntax.tree import Mapping as Table


def located(config: Config, written: Tree | None, span: Span, found: list[Diagnostic]) -> Config:
    """The options with the path of every folder of weights in them, below the folder of the file that names it.

    A folder typed on the command line may be anywhere. `written` is how the options are written, `span` the place of
    what is not. What is wrong is added to `found`: `outside-folder`, `unreadable-weights`.
    """
    table = written if isinstance(written, Table) else None
    changed: dict[str, WeightsFolder] = {}
    for name, value in _own(config):
        if value.path is None:
            leaf = table.get(name) if table else None
            changed[name] = _placed(value, leaf.span if leaf else span, found)
    parts = {}
    for place in places_in(config):
        if place.value.config is not None:
            tree = written_at(table, place)
            options = tree.get("with") if isinstance(tree, Table) else None
            own = located(place.value.config, options, tree.span if tree else span, found)
            if own is not place.value.config:
                parts[place.option, place.position] = replace(place.value, config=own)
    made = with_parts(config, parts)
    return made.model_copy(update=changed) if changed else made


def _own(config: Config) -> Iterator[tuple[str, WeightsFolder]]:
    for name in type(config).model_fields:
        value = getattr(config, name)
        if isinstance(value, WeightsFolder):
            yield name, value


def folders_in(config: Config) -> list[WeightsFolder]:
    """Every folder of weights in options, at any depth."""
    several = [config, *(part.config for part in parts_inside(config) if part.config is not None)]
    return [value for each in several for _, value in _own(each)]


def _placed(value: WeightsFolder, span: Span, found: list[Diagnostic]) -> WeightsFolder:
    within = None if span.file.startswith(TYPED) else Path(span.file).parent
    path = Path(value.name) if within is None else inside(within, value.name)
    if path is None:
        found.append(Diagnostic("outside-folder", f"the folder {value.name!r} is outside the graph's folder", span,
                                why=f"a graph file may only use files inside {str(within)!r}",
                                fix="copy it there, or name it on the command line: --set nodes.NODE.with.folder=PATH"))
        return value
    if not path.is_dir():
        found.append(Diagnostic("unreadable-weights", f"there is no folder {str(path)!r}", span,
                                fix="make it, with config.json and model.safetensors of the weights in it"))
    return replace(value, path=path, within=within, span=span)
