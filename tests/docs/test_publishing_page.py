"""docs/publishing.md: its commands exist, its entry is taken, its report is what is printed, its table is complete."""

from __future__ import annotations

import re
import shlex
import sys
from pathlib import Path

import pytest

from fusionkit.cli.parser import parser
from fusionkit.components.hooks import CONTRACT_RANGE
from fusionkit.registry.catalogue import read_catalogue, render
from fusionkit.testing.packages.check import check_package
from fusionkit.testing.scaffold.generate import package_files

sys.path.append(str(Path(__file__).parents[1] / "testing"))

from made_packages import installed, write  # stands beside the tests of the kit

PAGE = (Path(__file__).parents[2] / "docs" / "publishing.md").read_text(encoding="utf-8")
FILES = package_files("difference", "fusion")
INIT = "fusionkit_difference/__init__.py"


def block(language: str) -> str:
    text, = re.findall(rf"^```{language}\n(.*?)^```$", PAGE, re.M | re.S)
    return text


@pytest.mark.parametrize("command", re.findall(r"^    (fusionkit .*)$", PAGE, re.M))
def test_a_command_of_the_page_exists(command: str) -> None:
    parser().parse_args(shlex.split(command)[1:])


def test_the_entry_is_taken_as_it_stands(tmp_path: Path) -> None:
    path = tmp_path / "registry.yaml"
    path.write_text(render("fusionkit", []).replace("components: {}", "components: {}\n" + block("yaml")))
    other, = read_catalogue(path).others
    assert other.install == "pip install 'fusionkit-difference>=0.2,<1'"


def test_the_hook_is_that_of_a_new_package() -> None:
    assert block("python").split("\n\n\n")[1].strip() in FILES[INIT]
    assert f'CONTRACT = "{CONTRACT_RANGE}"' in PAGE


def test_the_report_and_the_table_of_checks_are_what_is_printed(tmp_path: Path) -> None:
    files = FILES | {INIT: FILES[INIT].replace(f'"{CONTRACT_RANGE}"', '"<1"')}
    with installed(write(tmp_path, files)):
        findings = check_package("fusionkit-difference", components=False)
    failed, = (finding for finding in findings if finding.result == "failed")
    assert f"{failed}\n".replace(f"{tmp_path}/", "") == block("report")
    rows = {line.split("`")[1] for line in PAGE.splitlines() if line.startswith("| `")}
    seen = {re.sub(r"^graph .*", "graph NAME", finding.check) for finding in findings}
    assert seen <= rows and rows - seen == {"name", "graph NAME"}
