"""The page of all error codes, docs/errors.md, read from the source: code, kind, message, and pages that explain it.

Run: python tools/error_codes.py
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from fusionkit.files import write_text

ROOT = Path(__file__).resolve().parents[1]
DOCS = ROOT / "docs"
PAGE = DOCS / "errors.md"
SOURCE, PLUGINS = ROOT / "fusionkit", ROOT / "plugins"

# The first area that a code is raised in is the one it is listed under.
AREAS = {
    "Graph files": ("syntax", "graph", "registry", "components", "shapes", "planning", "drawing"),
    "Data files, tables and files of cases": ("data",),
    "Training and runs": ("training", "runs", "inference", "evaluation"),
    "Networks and weights": ("network", "pretrained", "conversion"),
    "Export and serving": ("deployment", "serving"),
    "Studio": ("studio", "records"),
    "Comparison and published results": ("comparison", "claims"),
    "Reports": ("reporting",),
    "Explanation": ("explanation",),
    "Commands and Python": ("interface", "cli", "datasets", "testing"),
}
# These raise nothing: they make faulty graphs for tests.
LEFT_OUT = SOURCE / "testing" / "random_graphs"
READERS = (PLUGINS / "readers", PLUGINS / "tasks", PLUGINS / "blocks")
"""Plugins that report codes of their own, about tables and files of cases."""
GENERATED = {"errors.md", "cli.md", "api.md", "fusion-table.md", "encoder-table.md"}

INTRODUCTION = """\
# Error codes

Generated from the code by `python tools/error_codes.py`. Every error and warning about your input ends with a code in
brackets, such as `[shape-clash]`. Codes are stable: use them to search these pages and, with `--json`, in scripts. Each
message also gives the location and, where they are known, the reason (`why:`) and the remedy (`fix:`). In the messages
below, `...` stands for the name, value or path concerned. Problems that people often meet are on
[troubleshooting](troubleshooting.md).
"""


@dataclass(frozen=True)
class Raised:
    """One place in the source that reports a code."""

    code: str
    message: str
    kinds: frozenset[str]
    package: str


@cache
def raised() -> list[Raised]:
    """Every place that reports a literal code, file by file."""
    paths = [*sorted(SOURCE.rglob("*.py")), *(path for folder in READERS for path in sorted(folder.rglob("*.py")))]
    nodes = {path: _nodes(path) for path in paths if LEFT_OUT not in path.parents}
    takers = dict(taker for own in nodes.values() for taker in _takers(own))
    takers |= {name: takers[parent] for own in nodes.values() for name, parent in _heirs(own) if parent in takers}
    found = []
    for path, own in nodes.items():
        package = path.relative_to(SOURCE).parts[0].removesuffix(".py") if path.is_relative_to(SOURCE) else "data"
        for node in own:
            for code, message in _literal(node, takers):
                found.append(Raised(code, message, _kinds(node), package))
    return found


def _nodes(path: Path) -> list[ast.AST]:
    """The definitions, calls and tuples of a file."""
    kept = (ast.ClassDef, ast.FunctionDef, ast.Call, ast.Tuple)
    return [node for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))) if isinstance(node, kept)]


def _takers(nodes: list[ast.AST]) -> Iterator[tuple[str, int]]:
    """Classes and functions with a parameter `code`, and its position."""
    for node in nodes:
        if isinstance(node, ast.ClassDef):
            fields = [part.target.id for part in node.body
                      if isinstance(part, ast.AnnAssign) and isinstance(part.target, ast.Name)]
            made = [part for part in node.body if isinstance(part, ast.FunctionDef) and part.name == "__init__"]
            names = [each.arg for each in made[0].args.args[1:]] if made else fields
        elif isinstance(node, ast.FunctionDef) and node.name != "__init__":
            names = [each.arg for each in node.args.args if each.arg not in ("self", "cls")]
        else:
            continue
        if "code" in names:
            yield node.name, names.index("code")


def _heirs(nodes: list[ast.AST]) -> Iterator[tuple[str, str]]:
    """Classes without a constructor of their own, and the class they take it from."""
    for node in nodes:
        if isinstance(node, ast.ClassDef) and not any(getattr(part, "name", "") == "__init__" for part in node.body):
            yield from ((node.name, base.id) for base in node.bases if isinstance(base, ast.Name))


def _literal(node: ast.AST, takers: dict[str, int]) -> Iterator[tuple[str, str]]:
    """Codes and the message that follows each: of a call that takes a code, or of a tuple (code, message, why, fix)."""
    if isinstance(node, ast.Call):
        name = getattr(node.func, "id", getattr(node.func, "attr", ""))
        arguments = node.args[takers[name]:] if name in takers else []
    else:
        arguments = node.elts if isinstance(node, ast.Tuple) and len(node.elts) == 4 else []
    if len(arguments) > 1:
        message = next(iter(_choices(arguments[1])), "")
        for code in _choices(arguments[0]):
            if re.fullmatch(r"[a-z]+(-[a-z]+)*", code) and (" " in message or isinstance(node, ast.Call)):
                yield code, message


def _choices(node: ast.AST) -> Iterator[str]:
    """The texts that an expression may be; what is put in is `...`."""
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        yield node.value
    elif isinstance(node, ast.IfExp):
        yield from (*_choices(node.body), *_choices(node.orelse))
    elif isinstance(node, ast.BinOp):
        yield "".join(next(iter(_choices(side)), "...") for side in (node.left, node.right))
    elif isinstance(node, ast.JoinedStr):
        yield "".join(str(part.value) if isinstance(part, ast.Constant) else "..." for part in node.values)


def _words(message: str) -> bool:
    """Whether a message says something without the names that are put into it."""
    return len(re.findall(r"[a-z]+", message)) > 2


def _kinds(node: ast.AST) -> frozenset[str]:
    """`error`, `warning` or, where a variable decides, both."""
    if not isinstance(node, ast.Call):
        return frozenset({"error"})
    if getattr(node.func, "id", "") == "Advice":
        return frozenset({"warning"})
    given = [word.value for word in node.keywords if word.arg == "severity"]
    if getattr(node.func, "id", "") == "Diagnostic":
        given += node.args[5:]
    kinds = frozenset(kind for part in given for kind in _choices(part))
    return kinds if kinds else frozenset({"error", "warning"} if given else {"error"})


def explained() -> dict[str, list[str]]:
    """The pages written by hand that name a code, as links, by code."""
    found: dict[str, list[str]] = {}
    for path in sorted(DOCS.glob("*.md")):
        if path.name not in GENERATED:
            text = path.read_text(encoding="utf-8")
            title = text.partition("\n")[0].lstrip("# ")
            for code in set(re.findall(r"`([a-z]+(?:-[a-z]+)+)`", text)):
                found.setdefault(code, []).append(f"[{title}]({path.name})")
    return found


def page() -> str:
    """The page, from the source as it is now."""
    places, links = raised(), explained()
    lines, listed = [INTRODUCTION], set()
    for area, packages in AREAS.items():
        rows = []
        for code in sorted({place.code for place in places if place.package in packages} - listed):
            listed.add(code)
            here = [place for place in places if place.code == code and place.package in packages]
            message = max((place.message for place in here), key=_words)
            kind = " or ".join(sorted({kind for place in here for kind in place.kinds}))
            shown = " ".join(message.replace("|", "\\|").split())
            rows.append(f"| `{code}` | {kind} | {shown} | {', '.join(links.get(code, []))} |")
        if rows:
            lines += [f"## {area}\n", "| code | kind | message | more |", "| --- | --- | --- | --- |", *rows, ""]
    missing = {place.code for place in places} - listed
    if missing:
        raise SystemExit(f"no area of the page lists {', '.join(sorted(missing))}")
    return "\n".join(lines)


if __name__ == "__main__":
    write_text(PAGE, page())
