"""docs/properties.md: it lists every property, its figures are those of the strategies, its commands and code run."""

from __future__ import annotations

import ast
import inspect
import re
import shlex
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from fusionkit.testing.random_graphs import learning, properties, training
from fusionkit.testing.random_graphs.breaking import BREAKS
from fusionkit.testing.random_graphs.drawn import DrawnGraph
from fusionkit.testing.random_graphs.graphs import MOST_NODES
from fusionkit.testing.random_graphs.inputs import MOST_INPUTS
from fusionkit.testing.random_graphs.menu import Limits, Menu
from fusionkit.testing.random_graphs.misfits import MISFITS
from fusionkit.testing.random_graphs.sizes import MOST_NUMBERS

ROOT = Path(__file__).parents[2]
TESTS = ROOT / "tests" / "properties"
PAGE = (ROOT / "docs" / "properties.md").read_text(encoding="utf-8")
FLOWING = PAGE.replace("\n", " ")
LISTED = re.findall(r"^\| `(\w+\.\w+)` \|", PAGE, re.M)
COMMANDS = [shlex.split(line, comments=True) for line in re.findall(r"^pytest .*$", PAGE, re.M)]


def block(language: str) -> str:
    text, = re.findall(rf"^```{language}\n(.*?)^```$", PAGE, re.M | re.S)
    return text


def called() -> Iterator[str]:
    """The properties that the tests of drawn graphs hold them to."""
    for path in TESTS.glob("test_*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            name = ast.unparse(node.func) if isinstance(node, ast.Call) else ""
            if re.fullmatch(r"(properties|learning|training|step_division)\.\w+", name):
                yield name
            elif hasattr(properties, name) and getattr(properties, name).__module__ == properties.__name__:
                yield f"properties.{name}"


def test_the_table_has_every_property_that_is_tested() -> None:
    assert len(LISTED) == len(set(LISTED))
    assert set(LISTED) == set(called())


@pytest.mark.parametrize("module", [properties, learning, training], ids=["properties", "learning", "training"])
def test_no_property_is_left_untested(module: object) -> None:
    """A function that takes a drawn graph and says nothing is one; what gives something is a part of one."""
    name = getattr(module, "__name__", "").rpartition(".")[2]
    found = {f"{name}.{key}" for key, value in vars(module).items()
             if inspect.isfunction(value) and not key.startswith("_") and value.__module__ == module.__name__  # type: ignore[attr-defined]  # a module
             and inspect.signature(value).return_annotation == "None"
             and next(iter(inspect.signature(value).parameters)) in ("graph", "wrong")}
    assert found == {listed for listed in LISTED if listed.startswith(f"{name}.")}


def test_the_figures_are_those_of_the_strategies() -> None:
    limits = Limits()
    assert f"2 to {MOST_NODES} nodes over one to {('', 'one', 'two', 'three', 'four')[MOST_INPUTS]} inputs" in FLOWING
    assert f"at most {limits.parameters:,} weights" in FLOWING
    assert f"{limits.work // 1_000_000} million multiply-adds a case" in FLOWING
    assert f"{MOST_NUMBERS:,} numbers in one tensor" in FLOWING
    assert f"in one of {len({*BREAKS, *MISFITS})} ways" in FLOWING


def test_the_counts_are_those_of_the_profiles(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(TESTS))
    try:
        rounds = __import__("rounds")
        shares = re.findall(r"@drawn\((\d+)\)", (TESTS / "test_drawn_graphs.py").read_text(encoding="utf-8"))
        assert sum(map(int, shares)) == 100  # percent
        said = {next((name for name in ("thorough", "full") if name in line), "quick"): int(count.replace(",", ""))
                for line, count in re.findall(r"^(pytest tests/properties.*?)# ([\d,]+)", PAGE, re.M)}
        assert said == rounds.GRAPHS
    finally:
        sys.modules.pop("rounds", None)


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_a_command_has_options_that_exist(command: list[str]) -> None:
    known = (TESTS / "conftest.py").read_text(encoding="utf-8")
    for word in command[1:]:
        option, _, profile = word.partition("=")
        if option == "--hypothesis-profile":
            assert f'"{profile}":' in (TESTS / "rounds.py").read_text(encoding="utf-8")
        elif option == "--full":
            assert f'"{option}"' in (ROOT / "tests" / "tiers.py").read_text(encoding="utf-8")
        elif word.startswith("-"):
            assert f'"{option}"' in known
        elif "." in word:
            assert word in Menu().ids
        else:
            assert (ROOT / word).is_dir()
    for option in ("--share", "--record"):
        assert f"`{option}" in PAGE and f'"{option}"' in known


def test_the_code_for_an_own_component_runs() -> None:
    seen: list[DrawnGraph] = []
    names: dict[str, object] = {}
    exec(block("python").replace("max_examples=50", "max_examples=1"), names)  # the page's own code
    names["it_learns"] = seen.append
    names["test_it_works_in_any_graph"]()  # type: ignore[operator]
    assert seen
    assert all("fusion.gmu" in graph.uses for graph in seen)
    assert "Menu(values={" in PAGE and "Menu(ids=[" in PAGE
    assert Menu(ids=["fusion.gmu"], values={"encoder.timm": {"model": ["test_resnet"]}}).ids == ["fusion.gmu"]
