"""The pages that tools make of the installed components are what these tools make now: `python tools/write_docs.py`.

Over ten seconds: every component is built once, without memory and data, for the costs and shapes of its example.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from fusionkit.components.kinds import KINDS

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def tools() -> Iterator[dict[str, ModuleType]]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "path", [str(ROOT / "tools"), *sys.path])
        names = ("component_docs", "error_codes", "fusion_table", "encoder_table", "write_docs")
        yield {name: import_module(name) for name in names}


@pytest.mark.parametrize("kind", KINDS)
def test_the_page_of_a_kind_is_fresh(tools: dict[str, Any], kind: str) -> None:
    tool = tools["component_docs"]
    assert tool.path_of(kind).read_text() == tool.page(kind), "run python tools/write_docs.py"


@pytest.mark.parametrize("table", ["fusion_table", "encoder_table"])
def test_a_table_of_components_is_fresh(tools: dict[str, Any], table: str) -> None:
    tool = tools[table]
    assert tool.PAGE.read_text() == tool.page(), "run python tools/write_docs.py"


def test_several_shapes_meet_at_the_component_and_part_behind_it(tools: dict[str, Any]) -> None:
    made = tools["component_docs"]
    assert made.picture("fusion.mmtm", made.example("fusion.mmtm"))[1] == (
        "second: image 64 x 14 x 14 --+-- fusion.mmtm --+--> second: image 64 x 14 x 14")
    assert made.picture("encoder.kan", made.example("encoder.kan")) == [
        "x: vector 64 ----- encoder.kan -----> vector 64"]


def test_everything_that_is_made_is_written_by_one_command(tools: dict[str, Any]) -> None:
    """Every tool that makes a page of the documentation is a step."""
    makers = {path.stem for path in (ROOT / "tools").glob("*.py")
              if any(word in path.stem for word in ("docs", "table", "codes"))}
    assert makers - {"write_docs"} <= set(vars(tools["write_docs"]))


def test_the_page_of_error_codes_is_fresh(tools: dict[str, Any]) -> None:
    tool = tools["error_codes"]
    assert tool.PAGE.read_text() == tool.page(), "run python tools/error_codes.py"


def test_the_page_of_error_codes_has_every_code_of_the_tests(tools: dict[str, Any]) -> None:
    """Codes that tests expect, among them those that are passed on under other names."""
    listed = {place.code for place in tools["error_codes"].raised()}
    expected = {code for path in (ROOT / "tests" / "data" / "bad").rglob("expected.txt")
                for code in re.findall(r"\[([a-z]+(?:-[a-z]+)+)\]$", path.read_text(), re.M)}
    assert len(expected) > 40 and expected <= listed


def test_the_page_of_error_codes_tells_errors_from_warnings(tools: dict[str, Any]) -> None:
    text = tools["error_codes"].page()
    assert "| `advice` | warning |" in text and "| `class-absent` | error or warning |" in text
    assert "| `missing-file` | error |" in text
