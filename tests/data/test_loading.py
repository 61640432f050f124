import json
import os
import pickle

import numpy as np
import pytest
import torch

from fusionkit.data.batch import Batch, collate
from fusionkit.data.description import describe
from fusionkit.data.loading import HeadTarget, InputNeed, load_cohort
from fusionkit.data.preprocessing import Preprocessing
from fusionkit.errors import DataError, RunError

HEADS = {
    "kind": HeadTarget("multiclass", ("a", "b"), size=2),
    "symptoms": HeadTarget("multilabel", ("cough", "fever"), size=2),
    "days": HeadTarget("regression"),
}
INPUTS = {"picture": InputNeed((None, None, None), optional=True), "table": InputNeed((None,))}


def load(path, sets=(), heads=HEADS, inputs=INPUTS, **options):
    return load_cohort(describe(path, sets), heads, inputs, **options)


def codes(caught):
    return [found.code for found in caught.value.diagnostics]


def edit(path, old, new):
    path.write_text(path.read_text().replace(old, new))


def test_a_cohort_knows_its_cases_parts_and_sizes(cohort_file):
    cohort = load(cohort_file)
    assert len(cohort) == 12 and cohort.ids[3] == "c3" and cohort.patients[3] == "p1"
    assert cohort.sizes == {"picture": (1, 11, 7), "table": (3,)}
    assert cohort.split_rows("train") == (0, 1, 2, 3, 4, 5)
    assert cohort.split_rows("validation") == (6, 7) and cohort.split_rows("test") == (8, 9, 10, 11)
    assert (cohort.split_kind, cohort.fold_count) == ("column", 0)
    assert cohort.class_counts("kind", cohort.rows) == {"a": 6, "b": 6}
    assert cohort.class_counts("symptoms", (1, 2, 3)) == {"cough": 2, "fever": 2}
    assert np.flatnonzero(~cohort.present("picture")).tolist() == [3]


def test_a_category_that_training_lacks_is_a_warning_with_its_place(cohort_file):
    (warning,) = [found for found in load(cohort_file).warnings if found.code == "unknown-category"]
    assert (warning.code, warning.span.line, warning.severity) == ("unknown-category", 9, "warning")


def test_statistics_come_from_the_given_rows_only(cohort_file):
    cohort = load(cohort_file)
    fitted = cohort.fit(cohort.split_rows("train")).columns["table"]
    assert fitted.means == pytest.approx([52.5, np.mean([60.5, 61.5, 62.5, 63.5, 64.5])])
    assert fitted.categories == (("f", "m"),)
    edit(cohort_file.with_name("cases.csv"), "c11,p5,61,71.5,f", "c11,p5,999,-999,q")
    assert load(cohort_file).fit((0, 1, 2, 3, 4, 5)) == cohort.fit((0, 1, 2, 3, 4, 5))


def test_a_dataset_gives_prepared_tensors(cohort_file):
    cohort = load(cohort_file)
    dataset = cohort.dataset(cohort.rows, cohort.fit(cohort.split_rows("train")))
    case = dataset[2]
    assert case["index"] == 2 and case["inputs"]["picture"].shape == (1, 11, 7)
    assert case["inputs"]["table"].tolist() == pytest.approx([(52 - 52.5) / np.std(np.arange(50, 56)), 0.0, 2.0])
    assert case["targets"]["kind"].dtype == torch.int64 and int(case["targets"]["kind"]) == 0
    # Labels stand in the order of the head's classes, whatever the order of the columns.
    assert case["targets"]["symptoms"].tolist() == [0.0, 1.0] and case["targets"]["days"].tolist() == [20.0]
    # A blank number is the mean of training, an unknown category is 0.
    assert dataset[5]["inputs"]["table"][1] == 0 and dataset[7]["inputs"]["table"][2] == 0


def test_an_absent_input_is_zeros_and_not_present(cohort_file):
    cohort = load(cohort_file)
    case = cohort.dataset((3,), cohort.fit(cohort.rows))[0]
    assert case["present"] == {"picture": False, "table": True}
    assert case["inputs"]["picture"].shape == (1, 11, 7) and not case["inputs"]["picture"].any()


def test_batches_stack_and_move(cohort_file):
    cohort = load(cohort_file)
    dataset = cohort.dataset((2, 3, 4), cohort.fit(cohort.rows))
    batch = collate([dataset[i] for i in range(3)])
    assert isinstance(batch, Batch) and len(batch) == 3
    assert batch.inputs["picture"].shape == (3, 1, 11, 7) and batch.present["picture"].tolist() == [True, False, True]
    assert batch.targets["symptoms"].shape == (3, 2) and batch.index.tolist() == [2, 3, 4]
    assert batch.to("meta").inputs["table"].device.type == "meta"


def test_a_dataset_crosses_processes_and_a_cache_gives_the_same(cohort_file, tmp_path):
    cohort = load(cohort_file, cache=tmp_path / "cache")
    fitted = cohort.fit(cohort.rows)
    plain, cached = cohort.dataset((0, 1), fitted), cohort.dataset((0, 1), fitted, tmp_path / "cache")
    assert len(list((tmp_path / "cache").rglob("*.npy"))) == 11
    for one, other in zip(plain, pickle.loads(pickle.dumps(cached)), strict=True):
        assert torch.equal(one["inputs"]["picture"], other["inputs"]["picture"])


def test_checked_files_are_not_decoded_again(cohort_file, tmp_path, monkeypatch):
    load(cohort_file, cache=tmp_path / "cache")
    monkeypatch.setattr("fusionkit.data.readers.reader.FileReader.examine", lambda *_: pytest.fail("read again"))
    cohort = load(cohort_file, cache=tmp_path / "cache")
    assert cohort.dataset((0,), cohort.fit(cohort.rows), tmp_path / "cache")[0]["present"]["picture"]


def test_a_file_that_changes_after_the_check_stops_the_run_by_name(cohort_file):
    cohort = load(cohort_file)
    (cohort_file.parent / "x" / "c0.png").write_bytes(b"gone")
    with pytest.raises(RunError, match=r"case 'c0', input 'picture'.*not a picture"):
        cohort.dataset((0,), cohort.fit(cohort.rows))[0]


def test_progress_is_told_file_by_file_in_the_calling_thread(cohort_file):
    told = []
    load(cohort_file, progress=lambda done, total: told.append((done, total)), workers=3)
    assert told == [(done, 11) for done in range(1, 12)]


def test_preprocessing_survives_json(cohort_file):
    fitted = load(cohort_file).fit((0, 1, 2, 3))
    assert Preprocessing.from_json(fitted.to_json()) == fitted
    assert fitted.class_counts["kind"] == {"a": 2, "b": 2}


@pytest.mark.parametrize("text", ["", "{}x", '{"version": 2}', '{"columns": {"t": {}}}', "[1]"])
def test_foreign_preprocessing_is_refused(text):
    with pytest.raises(DataError) as caught:
        Preprocessing.from_json(text)
    assert codes(caught) == ["bad-preprocessing"]


def test_later_cases_are_read_with_the_categories_of_training(cohort_file):
    onehot = ["inputs.table.encode=onehot"]
    trained = load(cohort_file, onehot)
    fitted = Preprocessing.from_json(trained.fit(trained.split_rows("train")).to_json())
    table = cohort_file.with_name("cases.csv")
    table.write_text("\n".join(table.read_text().split("\n")[:2]).replace(",m,", ",z,") + "\n")
    later = load(cohort_file, onehot, require_targets=False, preprocessing=fitted)
    assert later.sizes["table"] == (4,) and [w.code for w in later.warnings] == ["unknown-category"]
    assert later.dataset((0,), fitted)[0]["inputs"]["table"][2:].tolist() == [0, 0]


def test_columns_read_otherwise_than_in_training_are_refused(cohort_file):
    fitted = load(cohort_file).fit((0, 1))
    with pytest.raises(DataError) as caught:
        load(cohort_file, ["inputs.table.encode=onehot", "inputs.table.numeric=[age]"], preprocessing=fitted)
    assert codes(caught) == ["preprocessing-differs"] * 2


def test_prediction_needs_neither_targets_nor_split(cohort_file):
    table = cohort_file.with_name("cases.csv")
    lines = [line.split(",")[:5] for line in table.read_text().split("\n")[:2]]
    table.write_text("\n".join(map(",".join, lines)) + "\n")
    cohort = load(cohort_file, require_targets=False)
    assert cohort.split_kind == "none" and cohort.split_rows("train") == ()
    case = cohort.dataset((0,), cohort.fit((0,)))[0]
    assert case["target_present"] == {"kind": False, "symptoms": False, "days": False}
    assert case["targets"]["symptoms"].shape == (2,)


def test_a_case_with_one_of_several_targets_is_kept(cohort_file):
    table = cohort_file.with_name("cases.csv")
    edit(table, "c2,p1,52,62.5,m,train,a,0,1,20", "c2,p1,52,62.5,m,train,,0,1,")
    case = load(cohort_file).dataset((2,), load(cohort_file).fit((0,)))[0]
    assert case["target_present"] == {"kind": False, "symptoms": True, "days": False}


def test_folds_keep_patients_together_and_cover_all(cohort_file):
    cohort = load(cohort_file, ["split={folds: 3, stratify: kind}"])
    tested = [row for k in range(3) for row in cohort.fold(k)[1]]
    assert sorted(tested) == list(range(12)) and cohort.split_kind == "folds"
    train, test = cohort.fold(1)
    assert not {cohort.patients[r] for r in train} & {cohort.patients[r] for r in test}
    assert cohort.split_rows("test") == cohort.fold(0)[1] and cohort.split_rows("validation") == ()


def test_every_fold_has_the_same_width_and_no_category_of_its_test(cohort_file):
    cohort = load(cohort_file, ["split={folds: 3}", "inputs.table.encode=onehot"])
    assert cohort.sizes["table"] == (5,)
    for k in range(3):
        train, test = cohort.fold(k)
        dataset = cohort.dataset(test, cohort.fit(train))
        assert dataset[0]["inputs"]["table"].shape == (5,)
        if 7 in test:
            assert dataset[test.index(7)]["inputs"]["table"][2:].tolist() == [0, 0, 0]


def test_rows_can_be_held_out_by_patient(cohort_file):
    cohort = load(cohort_file)
    kept, held = cohort.hold_out(tuple(range(8)), 0.25)
    assert sorted(kept + held) == list(range(8)) and len(held) == 2
    assert not {cohort.patients[r] for r in kept} & {cohort.patients[r] for r in held}


def test_a_divided_patient_may_be_allowed(cohort_file):
    edit(cohort_file.with_name("cases.csv"), "c11,p5", "c11,p0")
    with pytest.raises(DataError) as caught:
        load(cohort_file)
    assert codes(caught) == ["group-divided"]
    assert len(load(cohort_file, ["split.group=none"])) == 12


def test_one_file_on_both_sides_is_a_warning(cohort_file):
    edit(cohort_file, "x/{id}.png", "x/{kind}.png")
    for name in "ab":
        os.link(cohort_file.parent / "x" / "c0.png", cohort_file.parent / "x" / f"{name}.png")
    found = [w for w in load(cohort_file).warnings if w.code == "shared-file"]
    assert found and "'c0' (train) and 'c6' (validation)" in found[0].message


def test_inputs_that_the_network_does_not_take_are_not_read(cohort_file):
    (cohort_file.parent / "x" / "c0.png").write_bytes(b"damaged")
    cohort = load(cohort_file, inputs={"table": InputNeed((3,))})
    assert list(cohort.sizes) == ["table"]


def test_all_faults_of_table_and_files_come_at_once(cohort_file):
    table = cohort_file.with_name("cases.csv")
    edit(table, "c1,p0,51", "c0,p0,old")
    edit(table, "c9,p4,59,69.5,f,test,b", "c9,p4,59,69.5,f,test,c")
    (cohort_file.parent / "x" / "c8.png").write_bytes(b"damaged")
    with pytest.raises(DataError) as caught:
        load(cohort_file)
    assert codes(caught) == ["duplicate-id", "not-a-number", "not-an-image", "unknown-class"]
    assert [d.span.line for d in caught.value.diagnostics] == [3, 3, 10, 11]


def test_a_missing_reader_package_is_told_once(cohort_file, monkeypatch):
    monkeypatch.setattr("fusionkit.components.requirements._version", lambda name: None)
    with pytest.raises(DataError) as caught:
        load(cohort_file, ["inputs.picture={read: nifti, path: 'x/{id}.nii'}"])
    (found,) = caught.value.diagnostics
    assert found.code == "missing-package" and found.fix == "pip install nibabel"


def test_diagnostics_are_plain_data_too(cohort_file):
    (cohort_file.parent / "x" / "c8.png").write_bytes(b"damaged")
    with pytest.raises(DataError) as caught:
        load(cohort_file)
    assert json.loads(json.dumps([d.as_json() for d in caught.value.diagnostics]))[0]["where"]["line"] == 10


def test_a_network_of_one_optional_input_keeps_the_case_that_lacks_it(cohort_file):
    cohort = load(cohort_file, inputs={"picture": InputNeed((1, 11, 7), optional=True)})
    (warning,) = [w for w in cohort.warnings if w.code == "empty-case"]
    assert len(cohort) == 12 and "1 of 12 cases lack 'picture'" in warning.message
    assert not cohort.dataset((3,), cohort.fit(cohort.rows))[0]["present"]["picture"]
