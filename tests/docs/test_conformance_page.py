"""docs/conformance.md: its table has every check, for the components that it concerns; its figures are the kit's."""

import inspect
import re
import shlex
import tomllib
from pathlib import Path
from typing import get_args

from fusionkit.cli.parser import parser
from fusionkit.registry.lookup import discover
from fusionkit.testing import pytest_plugin
from fusionkit.testing.checks import numerics
from fusionkit.testing.checks.declared import check_named
from fusionkit.testing.conformance import CHECKS, KIND_CHECKS, check_component, checks_of
from fusionkit.testing.faults import Result
from fusionkit.testing.packages import imports
from fusionkit.testing.probing import probes

PAGE = (Path(__file__).parents[2] / "docs" / "conformance.md").read_text(encoding="utf-8")
ALL_KINDS = ("encoder.mlp", "fusion.gmu", "head.classify", "uncertainty.none")


def rows(header: str) -> list[list[str]]:
    lines = PAGE[PAGE.index(header) :].splitlines()[2:]
    end = next(place for place, line in enumerate(lines) if not line.startswith("|"))
    return [[cell.strip().strip("`") for cell in line.strip("|").split("|")] for line in lines[:end]]


def test_the_table_has_every_check() -> None:
    assert {row[0] for row in rows("| check | of |")} == {"declaration", "options", *KIND_CHECKS, *CHECKS}


def test_what_a_check_concerns_is_what_the_table_says() -> None:
    registry = discover()
    concerned = {name: set(checks_of(registry.load(name))) for name in ALL_KINDS}
    for check, of, _ in rows("| check | of |"):
        has = {name for name, checks in concerned.items() if check in checks}
        if of == "all":
            assert has == set(ALL_KINDS), check
        elif of == "modules":
            assert has == set(ALL_KINDS[:3]), check
        elif of in ("heads", "uncertainty methods"):
            assert has == ({"head.classify"} if of == "heads" else {"uncertainty.none"}), check


def test_the_table_of_results_is_complete() -> None:
    assert {row[0] for row in rows("| result | means |")} == set(get_args(Result))


def test_the_figures_are_those_of_the_kit() -> None:
    low, high = numerics.BAND
    assert f"{low:g} to {high:g}".replace("0.0001", "1e-4").replace("10000", "1e4") in PAGE.replace("\n", " ")
    assert f"{probes.HEAVY // 1_000_000} million multiply-adds" in PAGE
    assert f"Above {probes.COSTLY // 1_000_000} million none are" in PAGE
    assert f"every operation counted as {probes.OVERHEAD // 1000} 000 more" in PAGE.replace("\n", " ")
    assert re.search(rf"less than {imports.SECONDS:g} s of CPU time", PAGE)


def test_the_tests_of_easily_missed_faults_exist() -> None:
    folder = Path(__file__).parents[1] / "testing"
    code = "\n".join(path.read_text(encoding="utf-8") for path in sorted(folder.glob("*.py")))
    named = [test for _, _, shown in rows("| fault, or what only looks like one |")
             for test in re.findall(r"test_\w+(?:\[[\w.]+\])?", shown)]
    assert len(named) > 20
    for test in named:
        function, _, component = test.rstrip("]").partition("[")
        assert f"def {function}(" in code, test
        assert not component or f'"{component.partition(".")[2]}"' in code, test


def test_its_commands_exist() -> None:
    options = inspect.getsource(pytest_plugin.pytest_addoption)
    commands = [shlex.split(line, comments=True) for line in re.findall(r"^    ((?:pytest|fusionkit) .*)$", PAGE, re.M)]
    assert len(commands) == 4
    for command in commands:
        if command[0] == "fusionkit":
            parser().parse_args(command[1:])
            continue
        assert f'"{command[1]}"' in options
        if command[3:]:
            option, names = command[3:]
            assert option == "-k" and set(names.split(" or ")) <= set(CHECKS)
    block, = re.findall(r"^```toml\n(.*?)^```$", PAGE, re.M | re.S)
    key, = tomllib.loads(block)["tool"]["pytest"]["ini_options"]
    assert f'addini("{key}"' in options


def test_what_it_calls_and_excepts_exists() -> None:
    called = re.findall(r"check_component\(component, \[.*?\], (.*?)\)`", PAGE)
    known = set(inspect.signature(check_component).parameters)
    assert [set(re.findall(r"(\w+)=", given)) <= known for given in called] == [True]
    excused = re.findall(r'^ *(?:exceptions=\{)?"([a-z-]+: .+?)":', PAGE, re.M)
    assert len(excused) == 2 == sum(check_named(key) in CHECKS for key in excused)
    for name in re.findall(r"for `([a-z-]+)`(?: and `[a-z-]+`)? ", PAGE[PAGE.index("`check: pattern` excuses") :]):
        assert name in {"options", *CHECKS}
