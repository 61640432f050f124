"""What all tests share: how they are dealt out to processes, and how many threads each of these has."""

from __future__ import annotations

import os

import pytest

# On tensors this small threads cost more than they give.
os.environ.setdefault("OMP_NUM_THREADS", "1")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """With `--dist loadgroup` the tests of a file share a process, as they share its fixtures, unless it says other.

    The long files of properties share none.
    """
    for item in items:
        if item.get_closest_marker("xdist_group") is None and item.path.parent.name != "properties":
            item.add_marker(pytest.mark.xdist_group(item.nodeid.split("::")[0]))
