"""Columns as groups: how they are named, cut points, blanks, and what is refused."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from fusionkit.data.case_groups import GroupedColumn, columns_of, groups_by, reference_of
from fusionkit.data.numbers import NumberFormats
from fusionkit.data.table import read_table
from fusionkit.errors import DataError


def cohort(folder: Path, lines: str = "id,age,site\na,64.5,x\nb,65,y\nc,,x\nd,75,\n") -> Any:
    (folder / "t.csv").write_text(lines)
    table = read_table(folder / "t.csv")
    return SimpleNamespace(table=table, ids=table.cells("id"), description=SimpleNamespace(numbers=NumberFormats()))


def test_columns_and_cut_points_share_a_comma() -> None:
    assert columns_of("sex,age:65,75.5,site", "--by") == [
        GroupedColumn("sex"), GroupedColumn("age", (65, 75.5)), GroupedColumn("site")]
    assert columns_of("a:b:3", "--by") == [GroupedColumn("a:b", (3,))]
    assert columns_of("2019", "--by") == [GroupedColumn("2019")]


@pytest.mark.parametrize(("typed", "said"), [
    ("age:75,65", "do not rise"), ("sex,,site", "neither a column"), ("age:old", "neither a column"),
    ("sex,sex", "named twice"), (":3", "neither a column"),
])
def test_another_form_is_refused(typed: str, said: str) -> None:
    with pytest.raises(DataError, match=said):
        columns_of(typed, "--by")


def test_a_cut_point_belongs_to_the_upper_range_and_blanks_are_a_group(tmp_path: Path) -> None:
    found = groups_by(GroupedColumn("age", (65, 75)), cohort(tmp_path), "--by")
    assert found.groups == ("< 65", "65 to < 75", "not known", ">= 75")
    assert found.order == ("< 65", "65 to < 75", ">= 75", "not known")
    assert groups_by(GroupedColumn("site"), cohort(tmp_path), "--by").groups == ("x", "y", "x", "not known")


def test_what_a_column_cannot_be(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="has no column 'sit'") as error:
        groups_by(GroupedColumn("sit"), cohort(tmp_path), "--by")
    assert "'site'" in str(error.value)
    with pytest.raises(DataError, match="not-a-number"):
        groups_by(GroupedColumn("site", (3,)), cohort(tmp_path), "--by")
    many = "id,n\n" + "".join(f"c{i},{i}\n" for i in range(23))
    with pytest.raises(DataError, match="23 different cells") as error:
        groups_by(GroupedColumn("n"), cohort(tmp_path, many), "--by")
    assert "cut points, as in 'n:" in str(error.value)


def test_a_reference_is_a_group_of_a_named_column(tmp_path: Path) -> None:
    found = [groups_by(GroupedColumn("site"), cohort(tmp_path), "--by")]
    assert reference_of("site=y", found, "--reference") == ("site", "y")
    for typed, said in (("site=z", "has no group 'z'"), ("sex=f", "names no group"), ("y", "names no group")):
        with pytest.raises(DataError, match=said):
            reference_of(typed, found, "--reference")
