import threading

import numpy as np
import pytest

from fusionkit.data import case_files
from fusionkit.data.description import describe
from fusionkit.data.findings import Findings
from fusionkit.data.readers.facts import Facts
from fusionkit.data.readers.reader import ReadError
from fusionkit.data.table import read_table


def located(path, *sets):
    description = describe(path, sets)
    table = read_table(description.cases)
    findings = Findings()
    spec = description.inputs["picture"]
    return spec, table, case_files.locate(spec, table, table.cells("id"), findings), findings


def test_a_missing_file_is_absence_only_when_it_may_be(cohort_file):
    _, _, (paths, wrong), findings = located(cohort_file)
    assert paths[3] is None and paths[2].name == "c2.png" and wrong == frozenset() and findings.count == 0
    _, _, (_, wrong), findings = located(cohort_file, "inputs.picture.missing_ok=false")
    (found,) = findings.of("error")
    assert wrong == {3} and (found.code, found.span.line, found.span.column) == ("missing-file", 5, 1)


def test_a_blank_cell_is_an_absent_input(cohort_file):
    _, _, (paths, wrong), _ = located(cohort_file, "inputs.picture.path=x/{id}{weight}.png")
    assert paths[5] is None and wrong == frozenset()


def test_another_ending_is_suggested_but_never_another_case(cohort_file):
    (cohort_file.parent / "x" / "c3.jpg").write_bytes(b"")
    found = located(cohort_file, "inputs.picture.missing_ok=false")[3].of("error")[0]
    assert found.fix == "did you mean 'c3.jpg'?"
    (cohort_file.parent / "x" / "c3.jpg").unlink()
    found = located(cohort_file, "inputs.picture.missing_ok=false")[3].of("error")[0]
    assert "did you mean" not in found.fix


def test_a_name_that_is_too_long_is_told(cohort_file):
    table = cohort_file.with_name("cases.csv")
    table.write_text(table.read_text().replace("c0,", "c" * 5000 + ","))
    assert [d.code for d in located(cohort_file)[3].of("error")] == ["bad-path"]


def test_a_file_of_several_rows_is_read_once_and_told_for_each(cohort_file):
    (cohort_file.parent / "x" / "a.png").write_bytes(b"damaged")
    (cohort_file.parent / "x" / "b.png").write_bytes(b"damaged")
    spec, table, (paths, _), findings = located(cohort_file, "inputs.picture.path=x/{kind}.png")
    told = []
    wanted = [case_files.File(spec, row, path) for row, path in enumerate(paths)]
    shapes = case_files.check_files(wanted, table, table.cells("id"), findings, cache=None, workers=2,
                               progress=lambda *done: told.append((threading.current_thread(), *done)))
    assert shapes == {} and [d.span.line for d in findings.of("error")][:3] == [2, 3, 4] and findings.count == 12
    assert told == [(threading.main_thread(), 1, 2), (threading.main_thread(), 2, 2)]


@pytest.mark.parametrize(("array", "code"), [
    (np.full((1, 3, 5), np.inf, np.float32), "not-finite"), (np.zeros((1, 0, 5), np.float32), "empty-array"),
])
def test_unusable_arrays_never_reach_the_cache(cohort_file, tmp_path, monkeypatch, array, code):
    spec = describe(cohort_file).inputs["picture"]
    monkeypatch.setattr("fusionkit.data.readers.reader.FileReader.examine", lambda *_: (array, Facts()))
    with pytest.raises(ReadError) as caught:
        case_files.load(spec, cohort_file.parent / "x" / "c0.png", tmp_path / "cache")
    assert caught.value.code == code and not (tmp_path / "cache").exists()


def test_a_file_that_vanishes_or_does_not_fit_is_a_read_error(cohort_file, monkeypatch):
    spec = describe(cohort_file).inputs["picture"]
    with pytest.raises(ReadError) as caught:
        case_files.load(spec, cohort_file.parent / "gone.png", cohort_file.parent)
    assert caught.value.code == "unreadable-file"

    def full(*_):
        raise MemoryError

    monkeypatch.setattr("fusionkit.data.readers.reader.FileReader.examine", full)
    with pytest.raises(ReadError) as caught:
        case_files.load(spec, cohort_file.parent / "x" / "c0.png", None)
    assert caught.value.code == "too-large"


def test_half_precision_rounds_alike_with_and_without_a_cache_of_half_the_bytes(cohort_file, tmp_path):
    spec, _, (paths, _), _ = located(cohort_file, "inputs.picture.store=half", "inputs.picture.normalise=zscore")
    whole = located(cohort_file, "inputs.picture.normalise=zscore")[0]
    exact = case_files.load(whole, paths[2], tmp_path / "whole")
    plain, written, read = (case_files.load(spec, paths[2], cache)
                            for cache in (None, tmp_path / "half", tmp_path / "half"))
    assert plain.dtype == np.float32 and (plain == exact.astype(np.float16)).all() and (plain != exact).any()
    assert (written == plain).all() and (read == plain).all() and read.dtype == np.float32
    of_whole, of_half = (np.load(next((tmp_path / name).rglob("*.npy"))) for name in ("whole", "half"))
    assert of_half.nbytes * 2 == of_whole.nbytes


def test_half_precision_refuses_what_it_cannot_keep(cohort_file, monkeypatch):
    spec, _, (paths, _), _ = located(cohort_file, "inputs.picture.store=half")
    for most in (2048.0, 2049.0):
        monkeypatch.setattr(type(spec.source), "examine", lambda *_, most=most: (
            np.full((1, 3, 5), -most, np.float32), Facts()))
        if most == 2048.0:
            assert (case_files.load(spec, paths[2], None) == -2048).all()
        else:
            with pytest.raises(ReadError, match="up to 2049 away from 0"):
                case_files.load(spec, paths[2], None)
