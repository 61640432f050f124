"""Profiles of the properties of drawn graphs, and the account of what was drawn; see docs/properties.md."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
from hypothesis import settings
from rounds import DRAWN, GRAPHS, MENU, ROUNDS, append_record, read_record
from tiers import is_full

for name, count in GRAPHS.items():
    settings.register_profile(name, max_examples=count)


def pytest_addoption(parser: pytest.Parser) -> None:
    group = parser.getgroup("properties of drawn graphs")
    group.addoption("--share", default="1/1", help="draw one of several equal parts of the graphs, as 3/8")
    group.addoption("--using", help="draw only graphs that have this component")
    group.addoption("--record", type=Path, help="a file to which what was drawn is added, for the sum over all shares")


@pytest.hookimpl(trylast=True)
def pytest_configure(config: pytest.Config) -> None:
    profile = config.getoption("--hypothesis-profile", None) or os.environ.get(
        "HYPOTHESIS_PROFILE", "full" if is_full(config) else "quick")
    ROUNDS.profile = profile if profile in GRAPHS else "quick"
    number, _, count = config.getoption("--share", "1/1").partition("/")
    ROUNDS.share = int(number), int(count or 1)
    ROUNDS.using = config.getoption("--using", None)
    if not 1 <= ROUNDS.share[0] <= ROUNDS.share[1]:
        raise pytest.UsageError("--share is written as 3/8: the third of eight parts")


def pytest_terminal_summary(terminalreporter: Any, config: pytest.Config) -> None:
    if not DRAWN.properties:
        return
    DRAWN.failed = [report.nodeid for report in terminalreporter.stats.get("failed", [])
                    if "properties/" in report.nodeid]
    terminalreporter.section("drawn graphs")
    for line in DRAWN.lines(MENU.ids):
        terminalreporter.write_line(line)
    record = config.getoption("--record", None)
    if record:
        append_record(record)
        terminalreporter.write_line(f"with all shares in {record}:")
        for line in read_record(record).lines(MENU.ids):
            terminalreporter.write_line(f"  {line}")
