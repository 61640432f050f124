from pathlib import Path

import pytest

from fusionkit.data import path_template
from fusionkit.data.readers.reader import ReadError


def test_cells_fill_a_template_and_are_not_templates_themselves():
    assert path_template.columns("ct/{patient}/{series}/{patient}") == ("patient", "series")
    assert path_template.fill("ct/{a}/{b}.nii", {"a": "{b}", "b": "2"}) == "ct/{b}/2.nii"
    assert path_template.fill("ct/{a}/{b}", {"a": "1", "b": ""}) is None


def test_a_template_is_no_format_string():
    assert path_template.columns("{a.__class__}") == ("a.__class__",)


@pytest.mark.parametrize(("text", "wrong"), [("{a", True), ("a}", True), ("{}", True), ("{{a}}", True), ("{a}", False)])
def test_braces(text, wrong):
    assert bool(path_template.fault(text)) == wrong


@pytest.mark.parametrize("relative", ["../a", "x/../../a", "/etc/passwd", "x/link/secret"])
def test_nothing_leaves_the_folder(tmp_path, relative):
    root = tmp_path / "root"
    (root / "x").mkdir(parents=True)
    (root / "x" / "link").symlink_to(tmp_path)
    with pytest.raises(ReadError) as caught:
        path_template.inside(root, relative)
    assert caught.value.code == "path-outside"


def test_a_path_that_cannot_be_is_named(tmp_path):
    with pytest.raises(ReadError) as caught:
        path_template.inside(tmp_path, "a\0b")
    assert caught.value.code == "bad-path"


def test_a_linked_folder_may_be_the_root(tmp_path):
    (tmp_path / "real").mkdir()
    (tmp_path / "linked").symlink_to(tmp_path / "real")
    assert path_template.inside(tmp_path / "linked", "a.png") == tmp_path / "linked" / "a.png"


@pytest.mark.parametrize(("text", "root", "rest"), [
    ("/disk/ct/{p}/{s}.nii", "/disk/ct", "{p}/{s}.nii"),
    ("/disk/atlas.nii", "/disk", "atlas.nii"),
    ("/{p}", "/", "{p}"),
])
def test_an_absolute_template_is_divided_before_its_first_column(text, root, rest):
    assert path_template.split_absolute(text) == (Path(root), rest)


@pytest.mark.parametrize(("part", "column"), [(0, "p"), (1, "p"), (2, "s"), (9, "s")])
def test_the_column_that_wrote_a_part(part, column):
    assert path_template.column_of("ct/{p}/{s}.nii", {"p": "1", "s": "2"}, part) == column
