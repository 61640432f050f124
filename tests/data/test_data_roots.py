"""Where files may lie: below the data file's folder, and in folders that the user names; each refusal names the way."""

import re
import shlex
from pathlib import Path

import numpy as np
import pytest

from fusionkit.data.description import describe
from fusionkit.data.loading import HeadTarget, InputNeed, load_cohort
from fusionkit.datasets.dicom_writer import write_series
from fusionkit.errors import DataError

HEADS = {"y": HeadTarget("multiclass", ("a", "b"), size=2)}
DATA = """\
fusionkit-data: 1
cases: %s
id: id
inputs:
  x: {read: %s, path: "%s"}
targets:
  y: {column: y}
"""
CASES = 4


def cohort(file, roots=()):
    need = {"x": InputNeed((1, None, None) if "numpy" in file.read_text() else (1, None, None, None))}
    return load_cohort(describe(file, roots=roots), HEADS, need)


def write(folder, path, cells=None, *, reader="numpy", cases="cases.csv"):
    """A data file and its table, whose column `file` holds the cells."""
    folder.mkdir(parents=True, exist_ok=True)
    names = cells or [f"{case}.npy" for case in range(CASES)]
    rows = [f"c{case},{name},{'ab'[case % 2]}" for case, name in enumerate(names)]
    (folder / "cases.csv").write_text("\n".join(["id,file,y", *rows]) + "\n")
    (folder / "data.yaml").write_text(DATA % (cases, reader, path))
    return folder / "data.yaml"


@pytest.fixture
def disk(tmp_path):
    """Arrays on another disk."""
    folder = tmp_path / "disk" / "ct"
    folder.mkdir(parents=True)
    for case in range(CASES):
        np.save(folder / f"{case}.npy", np.full((1, 2, 3), case, dtype=np.float32))
    return folder


def absolute_cells(study, disk):
    return write(study, "{file}", [str(disk / f"{case}.npy") for case in range(CASES)])


def absolute_path(study, disk):
    return write(study, f"{disk}/{{file}}")


def outside_by_dots(study, disk):
    return write(study, "../disk/ct/{file}")


def linked_folder(study, disk):
    file = write(study, "images/{file}")
    (study / "images").symlink_to(disk)
    return file


def linked_files(study, disk):
    """As git-annex has them: each file links into a folder of its own, above the folder of the data file."""
    file = write(study, "images/{file}")
    (study / "images").mkdir()
    for case in range(CASES):
        place = study.parent / ".git" / "annex" / f"k{case}"
        place.mkdir(parents=True)
        (disk / f"{case}.npy").rename(place / "data")
        (study / "images" / f"{case}.npy").symlink_to(Path("..", "..", ".git", "annex", f"k{case}", "data"))
    return file


def linked_table(study, disk):
    file = write(study, "{file}")
    (study / "cases.csv").rename(disk / "cases.csv")
    (study / "cases.csv").symlink_to(disk / "cases.csv")
    for case in range(CASES):
        (disk / f"{case}.npy").rename(study / f"{case}.npy")
    return file


def absolute_table(study, disk):
    file = linked_table(study, disk)
    file.write_text(file.read_text().replace("cases.csv", str(disk / "cases.csv")))
    return file


def linked_slices(study, disk):
    """A series folder of the study, one slice of which is a link."""
    file = write(study, "series/{file}", [str(case) for case in range(CASES)], reader="dicom")
    for case in range(CASES):
        folder = study / "series" / str(case)
        volume = np.arange(3 * 4 * 4, dtype=np.int16).reshape(3, 4, 4) + case
        write_series(folder, volume, shuffled=False)
        if case == 1:
            (folder / "IM00001.dcm").rename(disk / "slice.dcm")
            (folder / "IM00001.dcm").symlink_to(disk / "slice.dcm")
    return file


LAYOUTS = [absolute_cells, absolute_path, outside_by_dots, linked_folder, linked_files, linked_table, absolute_table,
           linked_slices]


def refusal(file, roots=()):
    with pytest.raises(DataError) as caught:
        cohort(file, roots)
    (found,) = caught.value.diagnostics
    assert found.code == "path-outside"
    return found


@pytest.mark.parametrize("layout", LAYOUTS, ids=lambda layout: layout.__name__)
def test_what_lies_outside_is_refused_once_and_each_remedy_is_one(tmp_path, disk, layout):
    file = layout(tmp_path / "study", disk)
    found = refusal(file)
    written = re.search(r"'(root: [^']*)' in the data file", found.fix).group(1)
    typed = shlex.split(re.search(r"or (--data-root .*); else", found.fix).group(1))
    roots = typed[1::2]
    assert set(typed[::2]) == {"--data-root"}
    assert len(cohort(file, roots)) == CASES
    file.write_text(file.read_text() + written + "\n")
    assert len(cohort(file)) == CASES


@pytest.mark.parametrize("layout", LAYOUTS, ids=lambda layout: layout.__name__)
def test_another_folder_is_not_one(tmp_path, disk, layout):
    file = layout(tmp_path / "study", disk)
    (tmp_path / "dis").mkdir()
    refusal(file, [tmp_path / "dis"])


def test_a_refusal_names_one_case_and_the_number_of_the_others(tmp_path, disk):
    found = refusal(absolute_cells(tmp_path / "study", disk))
    path = str(disk / "0.npy")
    assert found.message == f"case 'c0', input 'x': the path {path!r} leaves the data folder, and those of 3 more cases"
    assert (found.span.line, found.span.column) == (2, 4)


def test_a_root_is_relative_to_the_data_file_and_a_typed_one_to_where_the_command_runs(tmp_path, disk, monkeypatch):
    file = linked_folder(tmp_path / "study", disk)
    monkeypatch.chdir(tmp_path)
    assert len(cohort(file, ["disk"])) == CASES
    file.write_text(file.read_text() + "root: [../other, ../disk]\n")
    (tmp_path / "other").mkdir()
    assert describe(file).to_plain()["root"] == ["../other", "../disk"]
    assert len(cohort(file)) == CASES


def test_a_root_that_is_not_there_is_named(tmp_path, disk):
    file = linked_folder(tmp_path / "study", disk)
    file.write_text(file.read_text() + "root: ../dusk\n")
    with pytest.raises(DataError) as caught:
        cohort(file, [tmp_path / "cases.csv"])
    assert [found.code for found in caught.value.diagnostics] == ["no-root", "no-root"]
    assert caught.value.diagnostics[0].span.line == 8


def test_a_root_reaches_no_farther_than_itself(tmp_path, disk):
    file = linked_folder(tmp_path / "study", disk)
    np.save(tmp_path / "secret.npy", np.zeros((1, 2, 3), dtype=np.float32))
    (disk / "2.npy").unlink()
    (disk / "2.npy").symlink_to(tmp_path / "secret.npy")
    found = refusal(file, [disk])
    assert "case 'c2'" in found.message
    assert found.why == "a link in the path points out of the folder"


def test_a_link_whose_file_was_not_fetched_is_told(tmp_path, disk):
    file = linked_files(tmp_path / "study", disk)
    (tmp_path / ".git" / "annex" / "k3" / "data").unlink()
    with pytest.raises(DataError) as caught:
        cohort(file, [tmp_path / ".git"])
    (found,) = caught.value.diagnostics
    assert found.code == "missing-file"
    assert "is a link to '../../.git/annex/k3/data', which does not exist" in found.why
    assert "git annex get" in found.fix


def test_files_on_two_disks_are_two_roots(tmp_path, disk):
    other = tmp_path.parent / f"{tmp_path.name}-other"
    found = refusal(write(tmp_path / "study", "{file}", [str(disk / "0.npy"), "/etc/hostname", str(other), str(disk)]))
    assert found.fix.count("--data-root") == 2
    assert re.search(r"'root: \[\S+, /etc\]' in the data file", found.fix)
