"""Components that a setting or a flag names: looked up, and their options checked where they are written."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Generic, TypeVar

from fusionkit.components.kinds import KINDS, kind_of
from fusionkit.errors import Diagnostic, Span, UserError
from fusionkit.syntax.options import check_options
from fusionkit.syntax.tree import Leaf, Mapping, Tree, to_plain
from fusionkit.syntax.typed_components import TypedList, parse_components, typed_form

if TYPE_CHECKING:
    from fusionkit.components.config import Config
    from fusionkit.components.declaration import Declaration
    from fusionkit.registry.lookup import Registry

Declared = TypeVar("Declared", bound="Declaration")


@dataclass(frozen=True, eq=False)
class Chosen(Generic[Declared]):
    """A component that is named, with its checked options; `written` are these as text, '' for the defaults."""

    declared: Declared
    config: Config
    span: Span
    written: str = ""


def component_named(use: str, options: Mapping | None, registry: Registry, span: Span, of: type[Declared]
                    ) -> Chosen[Declared]:
    """The component of an id, from which its kind may be left out.

    Raises: UserError with the errors of `Registry.load`, or of its options, at their place.
    """
    id = use if kind_of(use) in KINDS else f"{of.kind}.{use}"
    declared = registry.load(id, span, of=of)
    config, faults = check_options(declared.config, options, id, span)
    if config is None:
        raise UserError(faults)
    return Chosen(declared, config, span, typed_form("", to_plain(options)) if options else "")


def component_in(setting: str, text: str, tree: Tree | None, registry: Registry, of: type[Declared]
                 ) -> Chosen[Declared]:
    """The one component that a setting names by a text such as `ogm{alpha: 0.5}`.

    `tree` is what the graph file says, if the setting is from there: that text, or `{use: ..., with: ...}`.

    Raises: UserError as `component_named` does, and with `bad-option`, at the place in the file or the flag.
    """
    if isinstance(tree, Mapping):
        use, options = tree.get("use"), tree.get("with")
        return component_named(str(use.value) if isinstance(use, Leaf) else text.partition("{")[0],
                               options if isinstance(options, Mapping) else None, registry, (use or tree).span, of)
    flag = setting if tree is not None else "--" + setting
    specs, found = parse_components(text, TypedList(flag, "bad-option", of.kind, f"NAME,{of.kind}.NAME", of.kind))
    if not found and len(specs) > 1:
        found = [Diagnostic("bad-option", f"{setting!r} names {len(specs)} components", specs[1].span,
                            fix=f"name one {of.kind}")]
    if found:
        raise UserError([each if tree is None else replace(each, span=tree.span) for each in found])
    return component_named(specs[0].use, specs[0].options, registry, specs[0].span if tree is None else tree.span, of)
