"""The quick tier and the rest are the full tier, and whoever runs the quick one is told what it leaves out."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

CONFTEST = """\
from tiers import choose_tier, pytest_addoption, pytest_terminal_summary, pytest_testnodedown
def pytest_collection_modifyitems(config, items):
    choose_tier(config, items)
"""
TESTS = """\
import pytest
@pytest.mark.slow
def test_long():
    pass
def test_short():
    pass
"""


def run(folder: Path, *arguments: str) -> str:
    (folder / "conftest.py").write_text(CONFTEST)
    (folder / "pytest.ini").write_text("[pytest]\nmarkers = slow: of the full tier alone\n")
    (folder / "test_some.py").write_text(TESTS)
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PYTEST_")}
    paths = [str(Path(__file__).parent), environment.get("PYTHONPATH", "")]
    done = subprocess.run([sys.executable, "-m", "pytest", "-v", "-p", "no:cacheprovider", *arguments], cwd=folder,
                          env=environment | {"PYTHONPATH": os.pathsep.join(paths)}, capture_output=True, text=True,
                          check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.mark.parametrize("processes", [[], ["-n", "2"]], ids=["one process", "two processes"])
@pytest.mark.parametrize(("arguments", "names", "left_out"), [
    ([], {"test_short"}, True),
    (["--full"], {"test_long", "test_short"}, False),
    (["--rest"], {"test_long"}, False),
    (["test_some.py::test_long"], {"test_long"}, False),
], ids=["quick", "full", "rest", "named"])
def test_a_tier_runs_its_tests_and_tells_of_the_others(processes: list[str], arguments: list[str], names: set[str],
                                                       left_out: bool, tmp_path: Path) -> None:
    told = run(tmp_path, *processes, *arguments)
    assert {name for line in told.splitlines() if "PASSED" in line for name in re.findall(r"test_(?:long|short)", line)
            } == names
    assert ("1 tests of the full tier left out; python -m pytest --full runs them" in told) == left_out
