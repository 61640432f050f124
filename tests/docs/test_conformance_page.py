"""docs/conformance.md: its table has every check, for the components that it concerns; its figures are the kit's."""

import re
from pathlib import Path
from typing import get_args

from fusionkit.registry import discover
from fusionkit.testing import imports, numerics, probes
from fusionkit.testing.conformance import CHECKS, checks_of
from fusionkit.testing.faults import Result

PAGE = (Path(__file__).parents[2] / "docs" / "conformance.md").read_text(encoding="utf-8")
ALL_KINDS = ("encoder.mlp", "fusion.gmu", "head.classify", "uncertainty.none")


def rows(header: str) -> list[list[str]]:
    lines = PAGE[PAGE.index(header) :].splitlines()[2:]
    end = next(place for place, line in enumerate(lines) if not line.startswith("|"))
    return [[cell.strip().strip("`") for cell in line.strip("|").split("|")] for line in lines[:end]]


def test_the_table_has_every_check() -> None:
    assert {row[0] for row in rows("| check | of |")} == {"declaration", "options", "method", *CHECKS}


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
    assert f"every operation counted as {probes.OVERHEAD // 1000} 000 more" in PAGE.replace("\n", " ")
    assert re.search(rf"less than {imports.SECONDS:g} s of the processor", PAGE)
