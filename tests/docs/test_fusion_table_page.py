"""docs/fusion-table.md is what its tool makes of the installed fusions."""

from __future__ import annotations

import importlib.util
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


def test_the_table_is_fresh() -> None:
    spec = importlib.util.spec_from_file_location("fusion_table", ROOT / "tools" / "fusion_table.py")
    assert spec is not None and spec.loader is not None
    tool = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(tool)
    assert tool.PAGE.read_text() == tool.page(), "run python tools/fusion_table.py"
