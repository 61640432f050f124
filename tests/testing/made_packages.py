"""Puts a generated package where Python finds it, as an editable installation would: no pip, no network."""

from __future__ import annotations

import sys
import tomllib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from importlib import invalidate_caches
from pathlib import Path


def write(folder: Path, files: Mapping[str, str]) -> Path:
    for path, text in files.items():
        place = folder / path
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_text(text, encoding="utf-8")
    return folder


@contextmanager
def installed(folder: Path) -> Iterator[None]:
    """The package of this folder, importable and known to `importlib.metadata`; forgotten afterwards."""
    project = tomllib.loads((folder / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    name, points = project["name"], project.get("entry-points", {})
    write(folder / f"{name.replace('-', '_')}-{project['version']}.dist-info", {
        "METADATA": f"Metadata-Version: 2.4\nName: {name}\nVersion: {project['version']}\n",
        "entry_points.txt": "".join(f"[{group}]\n" + "".join(f"{key} = {value}\n" for key, value in entries.items())
                                    for group, entries in points.items()),
    })
    before = set(sys.modules)
    sys.path.insert(0, str(folder))
    invalidate_caches()
    try:
        yield
    finally:
        sys.path.remove(str(folder))
        own = {path.stem for path in folder.iterdir()}
        for module in set(sys.modules) - before:
            if module.partition(".")[0] in own:
                del sys.modules[module]
        invalidate_caches()
