"""Looks up the components that stand in the options of a component, and checks their options in turn."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from fusionkit.components.inner import Inner, Place, places_in, with_parts
from fusionkit.components.kinds import kind_of, spoken
from fusionkit.errors import Diagnostic, GraphError, Span, UserError
from fusionkit.syntax.options import check_options
from fusionkit.syntax.reader import read
from fusionkit.syntax.tree import Items, Tree
from fusionkit.syntax.tree import Mapping as Table
from fusionkit.syntax.writer import write

if TYPE_CHECKING:
    from fusionkit.components.component import Component
    from fusionkit.components.config import Config
    from fusionkit.registry.lookup import Registry

MAX_DEPTH = 4
"""How deep components may stand in components."""


def checked(component: Component, options: Mapping[str, Any], registry: Registry) -> Config:
    """The checked options of a component, with those of the components in them.

    Raises: pydantic.ValidationError for its own options, UserError for those of the components in them.
    """
    config, found = looked_up(component.config.model_validate(options), None, component.id, registry)
    if found:
        raise UserError(found)
    return config


def looked_up(config: Config, tree: Table | None, owner: str, registry: Registry, *, span: Span | None = None,
              depth: int = 1) -> tuple[Config, list[Diagnostic]]:
    """The options of `owner` with the components in them looked up, and every error in these.

    `tree` is how the options are written, for the places of errors; `span` is the place of what is not written.
    """
    found: list[Diagnostic] = []
    parts = {}
    for place in places_in(config):
        if place.value.component is None:
            parts[place.option, place.position] = _look_up(place, written_at(tree, place), owner, registry, span=span,
                                                           depth=depth, found=found)
    return with_parts(config, parts), found


def written_at(tree: Table | None, place: Place) -> Tree | None:
    """How the component at one place of the options is written, None if it is not."""
    value = tree.get(place.option) if tree is not None else None
    if place.position is not None and isinstance(value, Items):
        return value.items[place.position]
    return value


def _look_up(place: Place, written: Tree | None, owner: str, registry: Registry, *, span: Span | None, depth: int,
             found: list[Diagnostic]) -> Inner:
    """The component at one place; if something is wrong with it, it is told and the component is as it was."""
    value, table = place.value, written if isinstance(written, Table) else None
    use = table.entries["use"] if table else written
    at = use.span if use is not None else span
    what = f"option {place.option!r} of {owner}"
    if depth > MAX_DEPTH:
        found.append(Diagnostic("bad-option", f"{what} nests components deeper than {MAX_DEPTH} levels", at,
                                fix="use a component without one inside"))
        return value
    if kind_of(value.use) not in place.kinds:
        found.append(Diagnostic("wrong-kind", f"{what} cannot use {value.use!r}", at,
                                why=f"it takes components of kind {spoken(place.kinds, 'or')}",
                                fix=f"`fusionkit plugins list --kind {place.kinds[0]}` shows them"))
        return value
    try:
        component = registry.load(value.use, at)
    except GraphError as error:
        found.extend(error.diagnostics)
        return value
    if place.absent and component.absent not in place.absent:
        found.append(Diagnostic("bad-option", f"{what} cannot use {value.use!r}", at,
                                why=f"it declares absent: {component.absent}, and {owner} can deal with "
                                f"{spoken(place.absent, 'or')}", fix="use a component with one of these"))
        return value
    options = table.get("with") if table else _as_tree(value)
    inner, faults = check_options(component.config, options if isinstance(options, Table) else None, value.use,
                                  at or Span("options", 1, 1))
    found.extend(faults)
    if inner is None:
        return value
    inner, more = looked_up(inner, options if isinstance(options, Table) else None, value.use, registry, span=at,
                            depth=depth + 1)
    found.extend(more)
    return replace(value, component=component, config=inner)


def _as_tree(value: Inner) -> Tree | None:
    """The options of a component that was given as plain data."""
    return read(write(dict(value.options)), "options") if value.options else None
