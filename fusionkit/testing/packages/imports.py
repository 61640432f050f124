"""Side effects of importing the modules of a package: printed text, warnings, changed settings, other packages.

All modules are imported in one separate process, after torch and fusionkit, so that every side effect seen is
theirs.
"""

from __future__ import annotations

import ast
import importlib.metadata
import json
import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from fusionkit.components.requirements import normal_name
from fusionkit.testing.faults import Fault

SECONDS = 2.0
"""CPU time in seconds that one import may take beyond torch and fusionkit; reading a file takes a hundredth."""
_PATIENCE = 120  # seconds until an import is reported to hang


def import_faults(modules: Sequence[str], package: str) -> dict[str, Fault]:
    """Faults of importing each module of an installed package, by its name; modules without faults are left out.

    Packages that may be loaded are those that fusionkit or `package` requires, theirs in turn, and what the
    module's component names in `needs`.
    """
    allowed = _Allowed(package, modules)
    faults = {}
    for row in _witnessed(modules):
        complaints = list(_complaints(row, allowed))
        if complaints:
            seen, fixes, places = zip(*complaints, strict=True)
            place = next(filter(None, places), "") or _line(row["module"], ())
            faults[row["module"]] = Fault("; ".join(seen), "; ".join(dict.fromkeys(fixes)), place)
    return faults


def _witnessed(modules: Sequence[str]) -> Iterator[dict[str, Any]]:
    """The process's record of each module; where the process ended during one, that error, and then a new process."""
    remaining = list(modules)
    while remaining:
        with tempfile.TemporaryDirectory() as folder:
            records = Path(folder) / "records"
            end = _run([str(records), *remaining])
            rows = [json.loads(line) for line in records.read_text(encoding="utf-8").splitlines()] \
                if records.is_file() else []
        done = [row for row in rows if "module" in row]
        yield from done
        remaining = remaining[len(done):]
        if remaining and len(rows) == 2 * len(done):
            raise AssertionError(f"the process that imports {remaining[0]} did not begin: {end}; please report")
        if remaining:
            yield {"module": remaining.pop(0), "error": end}


def _run(arguments: list[str]) -> str:
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    command = [sys.executable, "-m", "fusionkit.testing.witnesses.import_witness", *arguments]
    try:
        done = subprocess.run(command, capture_output=True, text=True, env=environment,  # noqa: S603  # our own program
                              stdin=subprocess.DEVNULL, timeout=_PATIENCE, check=False)
    except subprocess.TimeoutExpired:
        return f"it does not end within {_PATIENCE} s"
    last = (done.stderr.strip().splitlines() or [""])[-1]
    return f"it ends the process with code {done.returncode}{': ' if last else ''}{last}"


class _Allowed:
    """The top-level packages that the modules of a package may load."""

    def __init__(self, package: str, modules: Sequence[str]) -> None:
        self.owners = importlib.metadata.packages_distributions()
        self.required = _required(["fusionkit", package])
        self.own = {module.partition(".")[0] for module in modules} | {"fusionkit", "fusionkit_plugins"}

    def strangers(self, loaded: Iterable[str], needs: Iterable[str]) -> list[str]:
        """Packages that nobody declared; Python's own modules and those without a distribution do not count."""
        names = [_name(need) for need in needs]
        declared = self.required | _required(names)
        free = {*sys.stdlib_module_names, *self.own, *(name.replace("-", "_") for name in names)}
        return [name for name in loaded if name not in free and name in self.owners
                and not declared & {normal_name(owner) for owner in self.owners[name]}]


def _name(requirement: str) -> str:
    """The distribution that a requirement names: 'timm' of 'timm>=1.0'."""
    return re.split(r"[^\w.-]", requirement.strip(), maxsplit=1)[0]


def _required(names: Iterable[str]) -> set[str]:
    """These distributions and all that they require, as far as installed; extras only where requested."""
    found: set[str] = set()
    seen: set[tuple[str, str]] = set()
    remaining = [(name, "") for name in names]
    while remaining:
        name, extra = remaining.pop()
        if (name, extra) in seen:
            continue
        seen.add((name, extra))
        found.add(normal_name(name))
        try:
            lines = importlib.metadata.requires(name) or []
        except (importlib.metadata.PackageNotFoundError, ValueError):
            continue
        for line in lines:
            wanted = re.search(r"extra\s*==\s*['\"]([^'\"]+)", line)
            if wanted and wanted[1] != extra:
                continue
            parts = re.match(r"\s*([\w.-]+)\s*(?:\[([^\]]*)\])?", line)
            assert parts, f"{name} requires {line!r}; please report"
            extras = [part.strip() for part in (parts[2] or "").split(",") if part.strip()]
            remaining.extend((parts[1], part) for part in ("", *extras))
    return found


def _complaints(row: Mapping[str, Any], allowed: _Allowed) -> Iterator[tuple[str, str, str]]:
    """Seen, fix and place of every forbidden side effect of an import."""
    if row["error"]:
        yield f"it does not import: {row['error']}", "fix the exception; importing must only define things", ""
        return
    if row["printed"]:
        yield f"importing it prints {row['printed'].splitlines()[0]!r}", "print nothing when imported", ""
    if row["warned"]:
        yield f"importing it warns: {row['warned'][0]}", "fix the cause of the warning", ""
    if row["changed"]:
        yield (f"importing it changes {', '.join(row['changed'])}",
               "change no global state on import; do it in forward, and restore it", "")
    if row["seconds"] > SECONDS:
        yield (f"importing it takes {row['seconds']:.1f} s of CPU time",
               f"stay below {SECONDS:.0f} s: import slow packages in the constructor that uses them", "")
    strangers = allowed.strangers(row["loaded"], row["needs"])
    if strangers:
        direct = [name for name in strangers if _line(row["module"], (name,))] or strangers
        yield (f"importing it loads {', '.join(direct)}, which nobody declares",
               "add it to the dependencies of the package or to needs=, or do not use it",
               _line(row["module"], direct))


def _line(module: str, names: Sequence[str]) -> str:
    """file:line where a module imports one of these packages, '' where it does not; the first line for no names."""
    spec = find_spec(module)
    if spec is None or not spec.origin or not Path(spec.origin).is_file():
        return ""
    if not names:
        return f"{spec.origin}:1"
    for node in ast.walk(ast.parse(Path(spec.origin).read_text(encoding="utf-8"))):
        read = [alias.name for alias in node.names] if isinstance(node, ast.Import) else \
            [node.module or ""] if isinstance(node, ast.ImportFrom) and not node.level else []
        if {name.partition(".")[0] for name in read} & set(names):
            return f"{spec.origin}:{getattr(node, 'lineno', 1)}"
    return ""
