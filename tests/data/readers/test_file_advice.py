"""What the files of an input say together: warnings of a cohort, once for each input, with the cases they are about."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from fusionkit.data.description import describe
from fusionkit.data.loading import load_cohort
from fusionkit.data.signature import HeadTarget, InputNeed
from fusionkit.errors import Diagnostic

DATA = """fusionkit-data: 1
cases: cases.csv
id: id
inputs:
  x: {INPUT}
targets:
  y: {column: y}
"""


def warnings(folder: Path, written: str, axes: int, cache: Path | None = None) -> list[Diagnostic]:
    """What is warned of when input `x` is written so; a case for each of the files that begin with `c`."""
    names = sorted(path.name for path in folder.iterdir() if path.name.startswith("c") and path.suffix != ".csv")
    rows = [f"{name},{'ab'[place % 2]}" for place, name in enumerate(names)]
    (folder / "cases.csv").write_text("\n".join(["id,y", *rows]) + "\n")
    (folder / "data.yaml").write_text(DATA.replace("INPUT", f'{written}, path: "{{id}}"'))
    need = {"x": InputNeed((None,) * axes)}
    heads = {"y": HeadTarget("multiclass", ("a", "b"))}
    return list(load_cohort(describe(folder / "data.yaml"), heads, need, cache=cache).warnings)


def arrays(folder: Path, *found: Any) -> None:
    for place, array in enumerate(found):
        np.save(folder / f"c{place}.npy", np.asarray(array))


NOISE = np.random.default_rng(0).normal(size=(8, 3, 5, 7))


def test_a_window_that_misses_the_data_is_told_with_both_ranges(tmp_path: Path) -> None:
    arrays(tmp_path, *(NOISE[:4] + 700))
    [found] = warnings(tmp_path, "read: numpy, window: [0, 10]", 3)
    assert (found.code, found.severity) == ("constant-input", "warning")
    assert "4 of 4 cases have one value everywhere (1)" in found.message
    assert "run from 69" in str(found.why) and "'window'" in str(found.fix)


def test_some_files_of_one_value_are_named(tmp_path: Path) -> None:
    arrays(tmp_path, NOISE[0], np.zeros((3, 5, 7)), NOISE[1], np.full((3, 5, 7), 4.0))
    [found] = warnings(tmp_path, "read: numpy", 3)
    assert "2 of 4 cases have one value everywhere (0, 4) (cases 'c1.npy', 'c3.npy')" in found.message
    assert found.why == "the files themselves are constant"


def test_one_picture_for_all_cases_is_told(tmp_path: Path) -> None:
    arrays(tmp_path, NOISE[0], NOISE[0], NOISE[0])
    [found] = warnings(tmp_path, "read: numpy", 3)
    assert found.code == "constant-input" and "the same in all 3 cases" in found.message


def test_files_that_vary_are_no_news_and_facts_come_from_the_cache_as_well(tmp_path: Path) -> None:
    arrays(tmp_path, NOISE[0], NOISE[1], np.ones((3, 5, 7)))
    first = warnings(tmp_path, "read: numpy", 3, tmp_path / "kept")
    assert [found.code for found in first] == ["constant-input"]
    assert warnings(tmp_path, "read: numpy", 3, tmp_path / "kept") == first
    for note in (tmp_path / "kept").rglob("*.json"):
        note.write_text("{damaged")
    assert warnings(tmp_path, "read: numpy", 3, tmp_path / "kept") == first
    (tmp_path / "c2.npy").unlink()
    assert warnings(tmp_path, "read: numpy", 3) == []
