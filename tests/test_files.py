"""Files written aside and moved into place; names that must stay in a folder."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from fusionkit.files import csv_text, inside, replacing, write_json, write_text


def test_a_file_appears_whole(tmp_path: Path):
    path = tmp_path / "deep" / "a.txt"
    with replacing(path) as aside:
        aside.write_text("new")
        assert not path.exists()
    assert path.read_text() == "new"
    assert [item.name for item in path.parent.iterdir()] == ["a.txt"]


def test_a_failure_leaves_what_was_there(tmp_path: Path):
    path = tmp_path / "a.txt"
    write_text(path, "old")
    with pytest.raises(RuntimeError), replacing(path) as aside:
        aside.write_text("half")
        raise RuntimeError
    assert path.read_text() == "old"
    assert [item.name for item in tmp_path.iterdir()] == ["a.txt"]


def test_json_is_readable_and_utf8(tmp_path: Path):
    write_json(tmp_path / "a.json", {"grün": [1]})
    text = (tmp_path / "a.json").read_text(encoding="utf-8")
    assert json.loads(text) == {"grün": [1]} and "grün" in text and text.endswith("}\n")


@pytest.mark.parametrize("name", ["a.txt", "sub/a.txt", "sub/../a.txt", "."])
def test_names_inside(tmp_path: Path, name: str):
    assert inside(tmp_path, name) == (tmp_path / name).resolve()


@pytest.mark.parametrize("name", ["..", "../a.txt", "/etc/passwd", "sub/../../a.txt", "link/a.txt", "a\0b", "x" * 5000])
def test_names_outside(tmp_path: Path, name: str):
    folder = tmp_path / "inner"
    folder.mkdir()
    (folder / "link").symlink_to(tmp_path)
    found = inside(folder, name)
    assert found is None or (name.startswith("x") and found.is_relative_to(folder.resolve()))


def test_a_table_as_csv_has_one_line_ending():
    assert csv_text([("id", "note"), ("a", 'says "no", twice'), ("b", None)]) == (
        'id,note\na,"says ""no"", twice"\nb,\n')
