"""The table of what waits in a training step has every component that declares a wait, and no other."""

from __future__ import annotations

import re
from pathlib import Path

from fusionkit.registry.lookup import discover

ROOT = Path(__file__).parent.parent.parent
PAGE = (ROOT / "docs" / "gpu.md").read_text(encoding="utf-8")
TABLE = PAGE[PAGE.index("## What waits") : PAGE.index("Before, these waited")]


def test_components_that_declare_a_wait_are_in_the_table() -> None:
    registry = discover()
    declared = {}
    for name in registry.ids:
        if name.startswith(("encoder.", "fusion.", "head.")):
            waits = {key.removeprefix("waits: ") for key in registry.load(name).exceptions
                     if key.startswith("waits: ")}
            if waits:
                declared[name] = waits
    rows: dict[str, set[str]] = {}
    for where, waits_for in re.findall(r"^\| (`[^|]*) \| ([^|]*) \|", TABLE, re.MULTILINE):
        operations = {part.strip(" `").removeprefix("a ") for part in waits_for.split(",")}
        rows.update(dict.fromkeys(re.findall(r"`((?:encoder|fusion|head)\.\w+)`", where), operations))
    assert declared and rows == declared


def test_files_of_the_table_exist() -> None:
    files = re.findall(r"^\| `(\w+/\w+\.py)`", TABLE, re.MULTILINE)
    assert files
    assert all((ROOT / "fusionkit" / file).is_file() for file in files)
