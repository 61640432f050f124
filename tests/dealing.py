"""How the tests are dealt out to the processes of `pytest -n 2 --dist loadgroup`: by file, the long ones first."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from xdist.scheduler import LoadScopeScheduling

ONE_BY_ONE = re.compile(r"(^|/)properties/|(^|/)test_(demonstration|examples)\.py$")
"""Files whose tests are long and share no fixture."""
TABLE = re.compile(r"(^|/)test_contract\.py::\w+\[(\w+\.\w+)")
"""Tests of the contract table share what their component is tried on; the rows of one component are near each other."""
LONGEST = (
    "tests/cli/test_demonstration.py::test_organs",
    "tests/testing/test_examples.py::test_an_example_is_a_package_that_passes_its_own_tests[fusionkit-monai",
    "tests/testing/test_fresh_environment.py",
    "tests/testing/test_examples.py",
    "encoder.timm",
    "fusion.cross_attention",
    "encoder.inceptionv3",
    "tests/conversion/keras/test_keras_weights.py",
    "encoder.penet",
    "encoder.e3d_msca",
    "fusion.mbt",
    "tests/cli/test_demonstration.py::",
    "tests/properties/test_drawn_graphs.py",
    "tests/inference/test_sampler.py",
    "tests/conversion/verification/test_golden_mmcaf.py",
    "tests/training/test_distributed.py",
)
"""How the names of the groups that take longest begin, to be begun with: at the end only one process would be busy."""


def group_of(nodeid: str) -> str:
    """What runs in one process: the file of a test, its component in the contract table, or the test alone."""
    file = nodeid.partition("::")[0]
    if ONE_BY_ONE.search(file):
        return nodeid
    component = TABLE.search(nodeid)
    return component[2] if component else file


def turn_of(nodeid: str) -> int:
    """The place of a test's group among those that are begun with."""
    group = group_of(nodeid)
    return next((turn for turn, begin in enumerate(LONGEST) if group.startswith(begin)), len(LONGEST))


def long_groups_first(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Long groups first, where there are several processes."""
    if hasattr(config, "workerinput"):
        items.sort(key=lambda item: turn_of(item.nodeid))


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> LoadScopeScheduling | None:
    """Groups by the names of tests: those that xdist 3.8 writes behind a test's id for its mark, pytest 9.2 drops."""
    if config.getoption("dist") != "loadgroup":
        return None
    from xdist.scheduler import LoadScopeScheduling

    class ByGroup(LoadScopeScheduling):
        def _split_scope(self, nodeid: str) -> str:
            return group_of(nodeid)

    config.option.loadscopereorder = False  # by the number of tests, which says little of how long they take
    return ByGroup(config, log)
