"""Installed packages with plugins: found by name, where their project is, and whether it is installed from sources."""

from __future__ import annotations

import importlib.metadata
import json
from importlib.metadata import Distribution, EntryPoint
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit
from urllib.request import url2pathname

from fusionkit.components.requirements import normal_name, pip_install
from fusionkit.errors import Diagnostic, GraphError
from fusionkit.registry.entry_points import GROUP, declared


def find_distribution(package: str) -> Distribution:
    """The installed package of this name; the name of its module or of its entry point works too.

    Raises: GraphError with `not-installed`.
    """
    try:
        return importlib.metadata.distribution(package)
    except (importlib.metadata.PackageNotFoundError, ValueError):
        wanted = normal_name(package)
        for each in declared():
            if each.point and each.point.dist and wanted in map(normal_name, (each.package, each.point.module,
                                                                              each.name)):
                return each.point.dist
    raise GraphError(Diagnostic("not-installed", f"there is no installed package {package!r}",
                                fix=f"in its folder: pip install -e . (or {pip_install(package)})"))


def own_points(distribution: Distribution) -> list[EntryPoint]:
    """The entry points of a package in the group `fusionkit`."""
    return [point for point in distribution.entry_points if point.group == GROUP]


def editable_packages() -> list[str]:
    """Names of the packages with plugins that are installed from their sources, `pip install -e`, sorted."""
    return sorted({each.package for each in declared() if each.point and each.point.dist
                   and _is_editable(each.point.dist)})


def _is_editable(distribution: Distribution) -> bool:
    return bool(_origin(distribution).get("dir_info", {}).get("editable")) or _beside(distribution).is_file()


def _beside(distribution: Distribution) -> Path:
    """The pyproject.toml beside the installed package, where that is the source folder itself."""
    return Path(str(distribution.locate_file("pyproject.toml"))).resolve()


def place_of_project(distribution: Distribution) -> str:
    """file:line where a package declares its entry points or should; '' when there is no such file."""
    file = _project_file(distribution)
    if file is None:
        return ""
    lines = file.read_text(encoding="utf-8", errors="replace").splitlines()
    for word in ("entry-points", "[project]", ""):
        for number, line in enumerate(lines, 1):
            if word in line:
                return f"{file}:{number}"
    return f"{file}:1"


def _project_file(distribution: Distribution) -> Path | None:
    """The pyproject.toml of a package that is installed from its sources, else its path in the installation record."""
    parts = urlsplit(_origin(distribution).get("url", ""))
    folder = Path(url2pathname(parts.path)) if parts.scheme == "file" else None
    own = [folder / "pyproject.toml" if folder else None, _beside(distribution)]
    listed = {file.name: Path(str(file.locate())) for file in distribution.files or ()}
    candidates = [*own, listed.get("entry_points.txt"), listed.get("METADATA")]
    return next((path for path in candidates if path and path.is_file()), None)


def _origin(distribution: Distribution) -> dict[str, Any]:
    """Where pip installed a package from, by PEP 610."""
    try:
        found = json.loads(distribution.read_text("direct_url.json") or "{}")
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}
