"""`registry.yaml`: what may be known of components without importing them; reading and making it."""

from __future__ import annotations

import pkgutil
from collections.abc import Iterator
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fusionkit.errors import Diagnostic, GraphError, Span
from fusionkit.form import Form, shown
from fusionkit.source import Items, Mapping, Scalar, Tree, read_file, write

if TYPE_CHECKING:
    from fusionkit.contract import Component

FORMAT = 1
_TEXTS = ("at", "summary", "rule", "absent", "category", "paper", "licence")
_KEYS = ("package", *_TEXTS, "needs")
_HEADER = "# The catalogue of components. Written by `fusionkit plugins catalogue --write`; a test keeps it fresh.\n"


@dataclass(frozen=True, slots=True)
class Entry:
    """One component as the catalogue describes it; `at` is the module whose `component` it is."""

    id: str
    package: str
    at: str
    summary: str
    rule: str
    absent: str
    category: str
    paper: str
    licence: str
    needs: tuple[str, ...]
    span: Span | None = None

    @property
    def kind(self) -> str:
        """The part of the id before the dot."""
        return self.id.partition(".")[0]

    def as_json(self) -> dict[str, Any]:
        """The entry as plain data."""
        return {"id": self.id, "kind": self.kind, "package": self.package,
                **{key: getattr(self, key) for key in _TEXTS}, "needs": list(self.needs)}


def read_catalogue(path: Path) -> list[Entry]:
    """The entries of a catalogue file.

    Raises: GraphError with every fault of the file.
    """
    found: list[Diagnostic] = []
    top = Form(read_file(path), "a catalogue", ("fusionkit-catalogue", "package", "components"), found)
    version = top.need("fusionkit-catalogue", f"begin with 'fusionkit-catalogue: {FORMAT}'")
    if version is not None and getattr(version, "value", None) != FORMAT:
        top.report("wrong-version", f"this fusionkit reads catalogues of format {FORMAT}", version.span)
    package = top.text("package") or ""
    tree = top.need("components", "list the components")
    entries: list[Entry] = []
    if tree is not None and not isinstance(tree, Mapping):
        top.report("wrong-type", f"'components' of a catalogue must be a mapping, not {shown(tree)}", tree.span,
                   fix="write 'kind.name: {at: module}'")
    elif tree is not None:
        entries = [_entry(name, value, package, found) for name, value in tree.items()]
    if found:
        raise GraphError(found)
    return entries


def _entry(name: str, tree: Tree, package: str, found: list[Diagnostic]) -> Entry:
    form = Form(tree, f"entry {name!r}", _KEYS, found)
    texts = {key: form.text(key, "") or "" for key in _TEXTS}
    needs = form.tree.get("needs")
    names = tuple(str(item.value) for item in needs if isinstance(item, Scalar)) if isinstance(needs, Items) else ()
    if needs is not None and not isinstance(needs, Items):
        form.report("wrong-type", f"'needs' of entry {name!r} must be a list, not {shown(needs)}", needs.span,
                    fix="write [package, ...]")
    return Entry(name, form.text("package") or package, needs=names, span=tree.span, **texts)


def entry_of(component: Component, at: str, package: str) -> Entry:
    """The catalogue entry of a component that has been imported."""
    rule = str(component.parsed) if component.rule else ""
    return Entry(component.id, package, at, component.summary, rule, component.absent, component.category,
                 component.paper, component.licence, component.needs)


def collect(package: str, module: str) -> list[Entry]:
    """Entries of every `component` found in the modules of an importable package, in order of id."""
    root = import_module(module)
    entries = []
    for info in pkgutil.walk_packages(getattr(root, "__path__", []), f"{module}."):
        component = getattr(import_module(info.name), "component", None)
        if component is not None:
            entries.append(entry_of(component, info.name, package))
    own = getattr(root, "component", None)
    if own is not None:
        entries.append(entry_of(own, module, package))
    return sorted(entries, key=lambda entry: entry.id)


def render(package: str, entries: list[Entry]) -> str:
    """The text of a catalogue file."""
    body = {entry.id: dict(_written(entry)) for entry in entries}
    return _HEADER + write({"fusionkit-catalogue": FORMAT, "package": package, "components": body},
                           width=100_000, one_line=False)


def _written(entry: Entry) -> Iterator[tuple[str, Any]]:
    for key in _TEXTS:
        value = getattr(entry, key)
        if value:
            yield key, value
    if entry.needs:
        yield "needs", list(entry.needs)
