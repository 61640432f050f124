"""Tests of a file share a process: else each process makes their fixtures, and those train networks."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from dealing import LONGEST, group_of, turn_of

TESTS = """\
import os
import pytest
@pytest.mark.parametrize("number", range(5))
def test_it(number):
    with open("processes", "a") as file:
        print(__name__, os.getpid(), file=file)
"""
TABLE = "tests/plugins/test_contract.py"


@pytest.mark.parametrize(("nodeid", "group"), [
    ("tests/shapes/test_layouts.py::test_one[a::b]", "tests/shapes/test_layouts.py"),
    (f"{TABLE}::test_a_component[fusion.mbt: rule]", "fusion.mbt"),
    (f"{TABLE}::test_a_row[fusion.mbt(share=True,at=[1,2])<5,7>: rows]", "fusion.mbt"),
    (f"{TABLE}::test_every_component_has_a_row", TABLE),
    ("tests/properties/test_drawn_graphs.py::test_names", "tests/properties/test_drawn_graphs.py::test_names"),
])
def test_groups_are_files_components_and_single_long_tests(nodeid: str, group: str) -> None:
    assert group_of(nodeid) == group


def test_long_groups_come_first() -> None:
    assert turn_of(f"{TABLE}::test_a_row[encoder.timm: rows]") == LONGEST.index("encoder.timm")
    assert turn_of("tests/shapes/test_layouts.py::test_one") == len(LONGEST)


def test_two_processes_share_no_file(tmp_path: Path) -> None:
    names = [f"test_number_{number}" for number in range(4)]
    for name in names:
        (tmp_path / f"{name}.py").write_text(TESTS)
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PYTEST_")}
    command = [sys.executable, "-m", "pytest", "-q", "-n", "2", "--dist", "loadgroup", "-p", "dealing",
               "-p", "no:cacheprovider", "-p", "no:hypothesispytest"]
    done = subprocess.run(command, cwd=tmp_path, env=environment | {"PYTHONPATH": str(Path(__file__).parent)},
                          capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    ran = (tmp_path / "processes").read_text().splitlines()
    assert len(ran) == 20
    assert len(set(ran)) == 4, "a file was dealt out to both processes"
