"""Every file of recorded outcomes lies within its tolerance, also further ones of the same form."""

from __future__ import annotations

from pathlib import Path

import pytest
from outcome_entries import EXACT
from outcome_fixtures import FOLDER, compared, files_of, rows


@pytest.mark.parametrize("path", files_of(FOLDER), ids=lambda path: path.name)
def test_a_file_of_recorded_outcomes_is_met(path: Path) -> None:
    found = compared(path)
    assert found and not [each for each in found if not each.error <= each.tolerance]


def test_a_difference_is_found_and_a_file_of_another_form_refused(tmp_path: Path) -> None:
    text = (FOLDER / "conformal_rank.json").read_text().replace('"k": 45', '"k": 46')
    (tmp_path / "other.json").write_text(text)
    assert [each.error for each in compared(tmp_path / "other.json")] == [1.0]
    assert list(rows([tmp_path / "other.json"])) == [("other.json", "1", "equal", "1.0e+00", "k")]
    undefined = (FOLDER / "multiclass_averages.json").read_text().replace('"mcc": ', '"mcc": null, "was": ')
    (tmp_path / "undefined.json").write_text(undefined)
    assert max(each.error for each in compared(tmp_path / "undefined.json")) > EXACT
    (tmp_path / "none.json").write_text("{}")
    with pytest.raises(ValueError, match=r"none\.json has none of"):
        compared(tmp_path / "none.json")
