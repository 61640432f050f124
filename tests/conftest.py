"""What all tests share: their tier, how they are dealt out to processes, and how many threads each of these has."""

from __future__ import annotations

import os
import sys

import pytest
from dealing import long_groups_first, pytest_xdist_make_scheduler
from tiers import choose_tier, pytest_addoption, pytest_terminal_summary, pytest_testnodedown

__all__ = ["pytest_addoption", "pytest_terminal_summary", "pytest_testnodedown", "pytest_xdist_make_scheduler"]

# On tensors this small threads cost more than they give.
os.environ.setdefault("OMP_NUM_THREADS", "1")
# Where an environment forbids bytecode, as many images of containers do, each process that a test starts would compile
# what it imports, which is most of its time.
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
sys.dont_write_bytecode = False


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    choose_tier(config, items)
    long_groups_first(config, items)
