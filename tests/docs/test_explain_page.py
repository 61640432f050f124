"""docs/explain.md: its table of gates is that of the bundled fusions, its flags and files are those of the command."""

from __future__ import annotations

import re
from pathlib import Path

from fusionkit_plugins.explanations import shapley, tsne

from fusionkit.cli.parser import parser
from fusionkit.explanation import feature_maps
from fusionkit.registry.lookup import discover

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "explain.md").read_text(encoding="utf-8")


def test_the_fusions_that_report_gates_are_those_of_the_table() -> None:
    registry = discover()
    bundled = [registry.load(entry.id) for entry in registry.entries if entry.id.startswith("fusion.")]
    reporting = {component.id for component in bundled if callable(getattr(component.module, "gates", None))}
    assert set(re.findall(r"^\| `(fusion\.\w+)` \|", PAGE, re.M)) == reporting


def test_every_flag_of_the_command_is_on_the_page() -> None:
    shown = set(re.findall(r"`(--?[a-z]+)", PAGE))
    made = parser().parse_args(["explain", "run"])
    known = {"--method", "--case", "--data", "--head", "--class", "--at", "--node", "-o"}
    assert known <= shown
    assert {"methods", "cases", "data", "head", "class_name", "at", "node", "output"} <= vars(made).keys()


def test_the_numbers_are_those_of_the_code() -> None:
    words, text = {6: "six", 10: "ten"}, " ".join(PAGE.split())
    assert f"the last {words[feature_maps.MOST_AT_ONCE]} of each input" in text
    assert f"below {words[tsne.LEAST]} cases there is no picture" in text
    assert f"More than {words[shapley.MOST]} inputs are left out, being more than {1 << shapley.MOST:,} passes" in text
