"""`registry.yaml`: a summary of components that can be read without importing them; reading and writing it."""

from __future__ import annotations

import pkgutil
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

from fusionkit.components.failures import raised
from fusionkit.components.kinds import KINDS, kind_of
from fusionkit.components.requirements import is_requirement
from fusionkit.errors import Diagnostic, GraphError, Span, did_you_mean
from fusionkit.registry.guard import guarded
from fusionkit.registry.known_packages import KnownPackage, read_others
from fusionkit.syntax.fields import FieldReader, shown
from fusionkit.syntax.reader import read_file
from fusionkit.syntax.tree import Items, Leaf, Tree
from fusionkit.syntax.writer import write

if TYPE_CHECKING:
    from fusionkit.components.declaration import Declaration

FORMAT = 1
_TOP = ("fusionkit-catalogue", "package", "components", "others")
_TEXTS = ("at", "summary", "rule", "absent", "category", "paper", "licence")
_KEYS = (*_TEXTS, "needs")
_HEADER = ("# The catalogue of components. Written by `fusionkit plugins catalogue --write`; a test keeps it fresh.\n"
           "# Only `others`, packages that provide more, is written by hand: docs/publishing.md.\n")


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
        return kind_of(self.id)

    def as_json(self) -> dict[str, Any]:
        """The entry as plain data."""
        return {"id": self.id, "kind": self.kind, "package": self.package,
                **{key: getattr(self, key) for key in _TEXTS}, "needs": list(self.needs)}


@dataclass(frozen=True, slots=True)
class Catalogue:
    """A catalogue file: the components of its package, and other packages that provide more.

    `notes` say what a catalogue of a later version has that this one does not know.
    """

    package: str
    entries: tuple[Entry, ...] = ()
    others: tuple[KnownPackage, ...] = ()
    notes: tuple[str, ...] = ()


def read_catalogue(path: Path, later: bool = False) -> Catalogue:
    """The content of a catalogue file.

    With `later` it may be of a package for a later version: kinds and keys that are not known here are left out, and
    noted, unless they look like a mistake in one that is.
    Raises: GraphError with every error in the file.
    """
    try:
        about = path.stat()
    except OSError:
        return _read(path, later)
    return _read_once(path, later, (about.st_ino, about.st_size, about.st_mtime_ns))


@lru_cache(maxsize=16)
def _read_once(path: Path, later: bool, version: tuple[int, ...]) -> Catalogue:
    """The content of a file that is as it was: the bundled one is 50 ms of reading, for every look-up of a process."""
    return _read(path, later)


def _read(path: Path, later: bool) -> Catalogue:
    found: list[Diagnostic] = []
    top = FieldReader(read_file(path), "a catalogue", _TOP, found)
    version = top.need("fusionkit-catalogue", f"begin with 'fusionkit-catalogue: {FORMAT}'")
    if version is not None and getattr(version, "value", None) != FORMAT:
        top.report("wrong-version", f"this fusionkit reads catalogues of format {FORMAT}", version.span,
                   fix="install a release of fusionkit and one of the package that go together")
    package = top.text("package") or ""
    top.need("components", "list the components")
    listed = top.mapping("components", "write 'kind.name: {at: module}'")
    entries = [_entry(name, value, package, found) for name, value in listed.items()] if listed else []
    others = read_others(top, package, {entry.id for entry in entries})
    notes = []
    if later:
        notes = [each.message for each in found if each.code in ("unknown-key", "unknown-kind") and not _mistaken(each)]
        found = [each for each in found if each.message not in notes]
    if found:
        raise GraphError(found)
    return Catalogue(package, tuple(each for each in entries if each.kind in KINDS), others, tuple(notes))


def _mistaken(found: Diagnostic) -> bool:
    """Whether an unknown word is near to one that is known."""
    return (found.fix or "").startswith("did you mean")


def _entry(name: str, tree: Tree, package: str, found: list[Diagnostic]) -> Entry:
    form = FieldReader(tree, f"entry {name!r}", _KEYS, found)
    if kind_of(name) not in KINDS:
        form.report("unknown-kind", f"{name!r} is of kind {kind_of(name)!r}, which this version does not know",
                    tree.span, fix=did_you_mean(kind_of(name), KINDS, f"the kinds are {', '.join(KINDS)}"))
    return Entry(name, package, needs=_needs(form), span=tree.span, **form.all_texts(_TEXTS))


def _needs(form: FieldReader) -> tuple[str, ...]:
    tree = form.tree.get("needs")
    if tree is None:
        return ()
    if not isinstance(tree, Items):
        form.report("wrong-type", f"'needs' of {form.owner} must be a list, not {shown(tree)}", tree.span,
                    fix="write [package, ...]")
        return ()
    needs = []
    for item in tree:
        need = item.value if isinstance(item, Leaf) else None
        if isinstance(need, str) and is_requirement(need):
            needs.append(need)
        else:
            form.report("wrong-value", f"'needs' of {form.owner} contains {shown(item)}, which pip cannot install",
                        item.span, fix="write a name, or a name and versions: 'name>=1.2'")
    return tuple(needs)


def kept_others(path: Path, package: str, own: set[str]) -> tuple[KnownPackage, ...]:
    """The hand-written part of a catalogue file, to be preserved when the rest is regenerated for the ids in `own`.

    Raises: GraphError if that part has errors, so that nothing of it is lost.
    """
    if not path.is_file():
        return ()
    try:
        tree = read_file(path)
    except GraphError:
        if re.search(r"^others?\b", path.read_text(encoding="utf-8", errors="replace"), re.M):
            raise
        return ()
    found: list[Diagnostic] = []
    others = read_others(FieldReader(tree, "a catalogue", _TOP, found), package, own)
    if found:
        raise GraphError(found)
    return others


def entry_of(component: Declaration, at: str, package: str) -> Entry:
    """The catalogue entry of a component that has been imported."""
    return Entry(component.id, package, at, component.summary, component.rule_text, component.absence,
                 component.category, component.paper, component.licence, component.needs)


def collect(package: str, module: str) -> list[Entry]:
    """Entries of every `component` found in the modules of an importable package, sorted by id.

    Raises: GraphError with `broken-plugin` if a module cannot be imported.
    """
    root = _imported(module)
    entries = []
    for info in pkgutil.walk_packages(getattr(root, "__path__", []), f"{module}.", lambda name: None):
        component = getattr(_imported(info.name), "component", None)
        if component is not None:
            entries.append(entry_of(component, info.name, package))
    own = getattr(root, "component", None)
    if own is not None:
        entries.append(entry_of(own, module, package))
    return sorted(entries, key=lambda entry: entry.id)


def _imported(module: str) -> ModuleType:
    try:
        with guarded(module, limited=False):
            return import_module(module)
    except Exception as error:
        raise GraphError(Diagnostic("broken-plugin", f"{module} cannot be imported", why=raised(error),
                                    fix="fix it, or install what it imports")) from error


def render(package: str, entries: Sequence[Entry], others: Sequence[KnownPackage] = ()) -> str:
    """The text of a catalogue file, sorted by id and by package."""
    body: dict[str, Any] = {
        "fusionkit-catalogue": FORMAT, "package": package,
        "components": {entry.id: dict(_written(entry)) for entry in sorted(entries, key=lambda entry: entry.id)}}
    if others:
        body["others"] = {other.package: other.written for other in sorted(others, key=lambda other: other.package)}
    return _HEADER + write(body, width=100_000, one_line=False)


def _written(entry: Entry) -> Iterator[tuple[str, Any]]:
    for key in _TEXTS:
        value = getattr(entry, key)
        if value:
            yield key, value
    if entry.needs:
        yield "needs", list(entry.needs)
