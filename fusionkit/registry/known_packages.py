"""The hand-written part of a catalogue: packages that provide more components, installed or not."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from fusionkit.components.kinds import COMPONENT_ID, KINDS
from fusionkit.components.requirements import is_name, is_range, normal_name, pip_install
from fusionkit.errors import Span
from fusionkit.syntax.fields import FieldReader, shown
from fusionkit.syntax.tree import Items, Leaf, Tree

_KEYS = ("versions", "summary", "link", "provides")
_LINK = re.compile(r"https://[^\s/]+\S*")
_LONGEST = 120  # characters of a summary, which has to fit into a table


@dataclass(frozen=True, slots=True)
class KnownPackage:
    """A package that provides components and need not be installed: its versions and ids."""

    package: str
    versions: str
    summary: str
    link: str
    provides: tuple[str, ...]
    span: Span | None = None

    @property
    def install(self) -> str:
        """The command that installs it."""
        return pip_install(f"{self.package}{self.versions}")

    @property
    def written(self) -> dict[str, Any]:
        """The entry as written in the catalogue file under the name of the package."""
        return {"versions": self.versions, "summary": self.summary, "link": self.link,
                "provides": sorted(self.provides)}

    def as_json(self) -> dict[str, Any]:
        """The entry as plain data."""
        return {"package": self.package, **self.written, "install": self.install}


def read_others(top: FieldReader, package: str, own: set[str]) -> tuple[KnownPackage, ...]:
    """The section `others` of a catalogue; `package` is its own, which provides the ids in `own`.

    Errors are added to those of the reader: an id has one provider, a package one entry.
    """
    tree = top.mapping("others", "write 'package: {versions: ..., summary: ..., link: ..., provides: [kind.name]}'")
    if tree is None:
        return ()
    owners = dict.fromkeys(own, package)
    packages = {normal_name(package)}
    others = []
    for name, value in tree.items():
        _check_package(name, tree.keys[name], packages, top)
        others.append(_other(FieldReader(value, f"package {name!r}", _KEYS, top.found), name, owners))
    return tuple(others)


def _check_package(name: str, span: Span, known: set[str], top: FieldReader) -> None:
    if not is_name(name):
        top.report("bad-name", f"{name!r} is not the name of a package", span,
                   fix="use the name by which pip installs it")
    elif normal_name(name) in known:
        top.report("name-taken", f"the package {name!r} is already in this catalogue", span,
                   why="to pip, names that differ only in case, '-', '_' and '.' are the same", fix="keep one of them")
    known.add(normal_name(name))


def _other(form: FieldReader, name: str, owners: dict[str, str]) -> KnownPackage:
    versions = _text(form, "versions", is_range, "is not a version range", "write it as in '>=0.2,<1'")
    summary = _text(form, "summary", _is_sentence, "is not a summary",
                    f"write one sentence, with its full stop, of at most {_LONGEST} characters")
    link = _text(form, "link", lambda text: bool(_LINK.fullmatch(text)), "is not a link",
                 "write the address of its page: https://...")
    return KnownPackage(name, versions, summary, link, _provided(form, name, owners), form.span)


def _is_sentence(text: str) -> bool:
    return len(text) > 1 and text.endswith(".") and "\n" not in text and len(text) <= _LONGEST


def _text(form: FieldReader, key: str, good: Callable[[str], bool], what: str, fix: str) -> str:
    tree = form.need(key, fix)
    text = form.text(key) if tree is not None else None
    if tree is not None and text is not None and not good(text):
        form.report("wrong-value", f"{key!r} of {form.owner} {what}: {shown(tree)}", tree.span, fix=fix)
    return text or ""


def _provided(form: FieldReader, package: str, owners: dict[str, str]) -> tuple[str, ...]:
    fix = "list its ids: [kind.name, ...]"
    tree = form.need("provides", fix)
    if tree is None:
        return ()
    if not isinstance(tree, Items) or not tree.items:
        form.report("wrong-type", f"'provides' of {form.owner} must be a list of ids, not "
                    f"{'an empty one' if isinstance(tree, Items) else shown(tree)}", tree.span, fix=fix)
        return ()
    return tuple(name for item in tree if (name := _id(form, item, package, owners)))


def _id(form: FieldReader, item: Tree, package: str, owners: dict[str, str]) -> str | None:
    name = item.value if isinstance(item, Leaf) else None
    if not isinstance(name, str) or not COMPONENT_ID.fullmatch(name):
        form.report("bad-name", f"{shown(item)} is not the id of a component", item.span,
                    fix=f"write kind.name, the kind one of {', '.join(KINDS)}")
        return None
    if name in owners:
        form.report("name-taken", f"{name} is provided by {owners[name]}", item.span, why="an id has one provider",
                    fix="choose another name, or a new version: name.v2")
        return None
    owners[name] = package
    return name
