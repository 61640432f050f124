"""docs/architecture.md: its floors are those that tests/test_policy.py holds, the places it names exist."""

from __future__ import annotations

import ast
import re
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")


def floors() -> dict[int, set[str]]:
    tree = ast.parse((ROOT / "tests" / "test_policy.py").read_text(encoding="utf-8"))
    value = next(part.value for part in tree.body if isinstance(part, ast.AnnAssign)
                 and isinstance(part.target, ast.Name) and part.target.id == "FLOORS" and part.value)
    return {floor: set(packages.split()) for floor, packages in ast.literal_eval(value).items()}


def test_its_floors_are_the_ones_that_are_tested() -> None:
    shown: dict[int, set[str]] = {}
    for floor, package in re.findall(r"^\| (\d+) \| `(\w+)` \|", PAGE, re.M):
        shown.setdefault(int(floor), set()).add(package)
    assert shown == floors()
    assert list(shown) == sorted(shown, reverse=True)


def test_places_that_it_names_exist() -> None:
    named = set(re.findall(r"`((?:fusionkit|plugins|tests|docs)/[\w./-]*)`", PAGE))
    assert len(named) > 15
    assert not [name for name in named if not (ROOT / name).exists()]


def test_a_dozen_changes_have_a_place() -> None:
    changes = PAGE.partition("where?\n")[2].partition("\n\nReasons")[0]
    assert len(re.findall(r"^\| (?!change|---)", changes, re.M)) >= 12
