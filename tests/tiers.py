"""The two tiers of the tests: `pytest` runs the quick one, `pytest --full` all, `--rest` what the quick one lacks.

`--rest` leaves out `BY_HAND`.

A test is of the full tier alone when it is marked as slow or is listed here. Naming a test by its id, as in
`pytest tests/test_wheel.py::test_it`, always runs it.
"""

from __future__ import annotations

import re
from typing import Any

import pytest

FULL_ONLY = re.compile("|".join((
    # Every layout and option; the quick tier has the first row of each component.
    r"(^|/)test_contract\.py::test_a_component_holds_to_the_contract\[(?!.*: (declaration|options|method|metric)\])",
    # Every component is built twice; the quick tier has what is built in no time.
    r"(^|/)test_plugin_commands\.py::test_what_is_shown_of_a_bundled_component_can_be_pasted\["
    r"(?!head\.|uncertainty\.|encoder\.mlp\b|fusion\.concat\b)",
    # Networks are trained, each for longer than ten seconds: the command as its reader types it.
    r"(^|/)test_demonstration\.py::test_(organs_small|phantom_small|tables_beside)",
    # A network is trained for each fusion and each scenario; the quick tier has the concatenation.
    r"(^|/)test_phantom_scenarios\.py::.*\[(?!fusion\.concat\b)",
    # A wheel is built and unpacked.
    r"(^|/)test_wheel\.py::",
    # Each package is installed and imported by processes of its own.
    r"(^|/)test_packages\.py::test_a_broken_package_is_told\[(?!no hooks\])",
)))
BY_HAND = re.compile("|".join((
    # What PyTorch's tracers make of each component, and its waits: graphs are exported and watched as well.
    r"(^|/)test_contract\.py::test_a_component_holds_to_the_contract\[.*: (compile|export|onnx|waits)\]",
    r"(^|/)test_device_graphs\.py::", r"(^|/)test_third_party\.py::", r"(^|/)test_phantom_scenarios\.py::",
    r"(^|/)test_demonstration\.py::test_(organs_small|phantom_small|tables_beside)",
    # A new package of each kind: the quick tier checks the package and trains its component, in test_scaffold.py.
    r"(^|/)test_fresh_environment\.py::test_they_(are_listed|pass_their_checks)",
    # Graphs of every component, built and edited in a browser; every published graph, with all packages that they need.
    r"(^|/)test_random_gestures\.py::", r"(^|/)test_limits\.py::test_a_check_of_every_published_graph",
    # Two processes train; the same is tested in one process, and in two by test_distributed.py.
    r"(^|/)test_(ogm|step_losses|fitting|settling|training_method|balancing_methods|shared_training)\.py::",
)))
"""Tests of the full tier that `--rest` leaves out, and says so: with them `.ci/run` takes longer than 40 minutes."""
_LEFT_OUT = pytest.StashKey[int]()


def pytest_addoption(parser: pytest.Parser) -> None:
    """The options that choose a tier."""
    group = parser.getgroup("tiers")
    group.addoption("--full", action="store_true", help="run the full tier: every test")
    group.addoption("--rest", action="store_true", help="run what the quick tier leaves out")


def is_full(config: pytest.Config) -> bool:
    """Whether as many graphs are drawn as in the full tier: `--rest` draws as many as the quick one."""
    return bool(config.getoption("--full", False))


def full_only(item: pytest.Item) -> bool:
    """Whether a test is left out of the quick tier."""
    return item.get_closest_marker("slow") is not None or FULL_ONLY.search(item.nodeid) is not None


def choose_tier(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Keep the tests of the tier that was asked for, all of them where tests are named by their ids."""
    if config.getoption("--full") or any("::" in argument for argument in config.args):
        return
    rest = config.getoption("--rest")
    kept = [item for item in items
            if full_only(item) == rest and not (rest and BY_HAND.search(item.nodeid))]
    chosen = set(kept)
    left_out = [item for item in items if item not in chosen]
    if left_out:
        config.hook.pytest_deselected(items=left_out)
        items[:] = kept
    count = sum(full_only(item) for item in left_out)
    config.stash[_LEFT_OUT] = count
    if hasattr(config, "workeroutput"):
        config.workeroutput["left_out"] = count


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node: Any, error: Any) -> None:
    """What a process of xdist left out; each of them collects all tests."""
    node.config.stash[_LEFT_OUT] = getattr(node, "workeroutput", {}).get("left_out", 0)


def pytest_terminal_summary(terminalreporter: Any, config: pytest.Config) -> None:
    """One line on what was left out."""
    count = config.stash.get(_LEFT_OUT, 0)
    if count:
        terminalreporter.write_line(f"{count} tests of the full tier left out; python -m pytest --full runs them")
