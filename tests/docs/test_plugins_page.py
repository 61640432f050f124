"""docs/plugins.md: its plugins pass the kit, its graph builds, its report is printed, its commands exist."""

import re
import shlex
from pathlib import Path
from typing import get_args

import pytest
import torch

import fusionkit
from fusionkit.cli.parser import parser
from fusionkit.components.component import Absent, Component
from fusionkit.components.kinds import KIND_TABLE
from fusionkit.registry.lookup import discover
from fusionkit.syntax.reader import read
from fusionkit.syntax.tree import to_plain
from fusionkit.testing.conformance import check_component
from fusionkit.testing.scaffold.generate import package_files

PAGE = (Path(__file__).parents[2] / "docs" / "plugins.md").read_text(encoding="utf-8")
COMMANDS = re.findall(r"^    (fusionkit .*)$", PAGE, re.M)


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```$", PAGE, re.M | re.S)


def rows(header: str) -> list[list[str]]:
    lines = PAGE[PAGE.index(header) :].splitlines()[2:]
    end = next(place for place, line in enumerate(lines) if not line.startswith("|"))
    return [[cell.strip().strip("`") for cell in line.strip("|").split("|")] for line in lines[:end]]


PLUGINS = blocks("python")


def load(text: str, folder: Path, name: str) -> Component:
    """The component of a plugin file, as `--plugin FILE` reads it."""
    path = folder / f"{name}.py"
    path.write_text(text, encoding="utf-8")
    component, = discover(files=[path]).providers[-1].components
    return component


@pytest.fixture
def difference(tmp_path: Path) -> Component:
    return load(PLUGINS[0], tmp_path, "difference")


@pytest.mark.parametrize("text", PLUGINS, ids=lambda text: text.splitlines()[0][3:20])
def test_a_plugin_of_the_page_holds_to_the_contract(text: str, tmp_path: Path) -> None:
    component = load(text, tmp_path, "shown")
    findings = check_component(component)
    assert [str(finding) for finding in findings if finding.result != "ok"] == []


def test_there_is_one_of_each_further_kind_and_five_of_networks() -> None:
    assert len(PLUGINS) == 13


def test_its_table_of_kinds_is_that_of_the_code() -> None:
    assert rows("| kind | named by") == [
        [name, kind.setting or "nodes", kind.declaration,
         f"[{kind.title.lower()}](components/{kind.folder}.md)"] for name, kind in KIND_TABLE.items()]


def test_the_graph_builds(difference: Component) -> None:
    text, = blocks("yaml")
    network = fusionkit.build(to_plain(read(text)), components=[difference])
    result = network({"before": torch.zeros(3, 7), "after": torch.ones(3, 7)})["result"]
    assert result.shape == (3, 2)


def test_the_auxiliary_loss_reaches_the_trainer(tmp_path: Path) -> None:
    component = load(next(text for text in PLUGINS if "encoder.bottleneck" in text), tmp_path, "bottleneck")
    graph = {"fusionkit": 1, "inputs": {"x": {"vector": [7]}},
             "nodes": {"small": {"use": "encoder.bottleneck", "from": "x"},
                       "result": {"use": "head.regress", "from": "small", "with": {"values": ["v"]}}}}
    outputs = fusionkit.build(graph, components=[component])({"x": torch.randn(3, 7)})
    assert [value.shape for name, value in outputs.items() if "loss_divergence" in name] == [torch.Size([])]


def test_the_report_is_what_is_printed(tmp_path: Path) -> None:
    change = "change = left - right; return self.project(change - change.mean(0))"
    assert f"`{change}`" in PAGE
    wrong = PLUGINS[0].replace("return self.project(left - right)", change)
    finding, = check_component(load(wrong, tmp_path, "difference"), ["rows"])
    printed, = blocks("report")
    number = re.compile(r"by [0-9.e-]+")
    assert number.sub("by", f"{finding}\n".replace(f"{tmp_path}/", "")) == number.sub("by", printed)


def test_the_table_of_absence_is_complete() -> None:
    assert {row[0] for row in rows("| `absent` |")} == set(get_args(Absent))


def test_the_table_of_files_is_what_is_made() -> None:
    made = package_files("difference", "fusion")
    for row in rows("| file | holds |"):
        assert any(path.startswith(row[0]) for path in made), row


@pytest.mark.parametrize("command", COMMANDS)
def test_a_command_of_the_page_exists(command: str) -> None:
    parser().parse_args(shlex.split(command)[1:])
