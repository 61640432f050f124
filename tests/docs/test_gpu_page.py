"""The table of what waits in a training step has every component that declares a wait, and no other."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).parent.parent.parent
PAGE = (ROOT / "docs" / "gpu.md").read_text(encoding="utf-8")
TABLE = PAGE[PAGE.index("## What waits") : PAGE.index("Before, these waited")]


def test_components_that_declare_a_wait_are_in_the_table() -> None:
    declared = {f"{path.parent.name.removesuffix('s')}.{path.stem}": operation
                for path in sorted((ROOT / "plugins").glob("*/*.py"))
                for operation in re.findall(r'"waits: (\w+)"', path.read_text(encoding="utf-8"))}
    rows = dict(re.findall(r"^\| `((?:encoder|fusion|head)\.\w+)` \| `(\w+)` \|", TABLE, re.MULTILINE))
    assert rows == declared


def test_files_of_the_table_exist() -> None:
    files = re.findall(r"^\| `(\w+/\w+\.py)`", TABLE, re.MULTILINE)
    assert files
    assert all((ROOT / "fusionkit" / file).is_file() for file in files)
