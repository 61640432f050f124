"""Cases for a finished run must be read as its training cases were: each difference is refused by name, or told."""

import json
from dataclasses import replace

import numpy as np
import pytest

from fusionkit.data.description import describe
from fusionkit.data.loading import HeadTarget, InputNeed, load_cohort
from fusionkit.data.preprocessing import Preprocessing
from fusionkit.datasets.dicom_writer import Geometry, write_series
from fusionkit.errors import DataError

HEADS = {"y": HeadTarget("multiclass", ("a", "b"), size=2)}
DATA = """\
fusionkit-data: 1
cases: cases.csv
id: id
inputs:
  x: {%s}
targets:
  y: {column: y}
"""
READ = {
    "dicom": "read: dicom, path: 'ct/{id}', window: [-1000, 400], size: [4, 16, 16]",
    "nifti": "read: nifti, path: 'nii/{id}.nii', window: [-1000, 400], size: [4, 16, 16]",
    "numpy": "read: numpy, path: 'npy/{id}.npy', window: [-1000, 400], channels: none",
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Four CT series, the same volumes as NIfTI and as NumPy arrays."""
    nibabel = pytest.importorskip("nibabel")
    folder = tmp_path_factory.mktemp("cohort")
    rng = np.random.default_rng(0)
    for name in ("nii", "npy"):
        (folder / name).mkdir()
    lines = ["id,y,age"]
    for case in range(4):
        volume = rng.integers(-1000, 400, (4, 16, 16)).astype(np.int16)
        write_series(folder / "ct" / f"c{case}", volume, geometry=Geometry((2.0, 1.0, 1.0)))
        affine = np.diag([1.0, 1.0, 2.0, 1.0])
        nibabel.save(nibabel.Nifti1Image(volume.T, affine), folder / "nii" / f"c{case}.nii")
        np.save(folder / "npy" / f"c{case}.npy", volume)
        lines.append(f"c{case},{'ab'[case % 2]},{40 + case}")
    (folder / "cases.csv").write_text("\n".join(lines) + "\n")
    return folder


def load(folder, reading, preprocessing=None, name="data.yaml"):
    (folder / name).write_text(DATA % reading)
    return load_cohort(describe(folder / name), HEADS, {"x": InputNeed((1, None, None, None))}, preprocessing is None,
                       preprocessing=preprocessing)


def fitted(folder, reader):
    cohort = load(folder, READ[reader])
    made = cohort.fit(cohort.rows)
    return Preprocessing.from_json(made.to_json())


@pytest.mark.parametrize("reader", READ)
def test_what_is_read_alike_is_taken(folder, reader):
    assert not load(folder, READ[reader].replace("{id}", "./{id}"), fitted(folder, reader)).warnings


@pytest.mark.parametrize(("before", "now", "option", "was", "fix"), [
    ("dicom", READ["dicom"].replace("window: [-1000, 400], ", ""), "window", "[-1000, 400]",
     "write 'window: [-1000, 400]'"),
    ("dicom", READ["dicom"].replace("400", "300"), "window", "[-1000, 400]", "write 'window: [-1000, 400]'"),
    ("dicom", READ["dicom"] + ", tilt: keep", "tilt", "refuse", "write 'tilt: refuse'"),
    ("dicom", READ["nifti"], "read", "dicom", "write 'read: dicom'"),
    ("nifti", READ["nifti"] + ", fill_nan: 0", "fill_nan", "not given", "remove 'fill_nan'"),
    ("numpy", READ["numpy"].replace("none", "first"), "channels", "none", "write 'channels: none'"),
    ("numpy", "read: columns, numeric: [age]", "read", "numpy", "write 'read: numpy'"),
])
def test_what_is_read_otherwise_is_refused_with_both_values(folder, before, now, option, was, fix):
    with pytest.raises(DataError) as caught:
        load(folder, now, fitted(folder, before), "new.yaml")
    found = next(each for each in caught.value.diagnostics if each.code == "preprocessing-differs")
    assert found.message == f"input 'x' is not read as in training: {option!r} differs"
    assert found.why.startswith(f"in training it was {was}; here it is ")
    assert (found.fix, found.span.line) == (fix, 5)


@pytest.mark.parametrize(("before", "now"), [
    ("dicom", READ["dicom"].replace("[-1000, 400]", "[-1000, 300]")), ("numpy", READ["dicom"])])
def test_the_fix_is_one(folder, before, now):
    preprocessing = fitted(folder, before)
    with pytest.raises(DataError) as caught:
        load(folder, now, preprocessing, "new.yaml")
    assert caught.value.diagnostics[0].fix in {"write 'window: [-1000, 400]'", "write 'read: numpy'"}
    assert load(folder, READ[before], preprocessing, "new.yaml").ids == ("c0", "c1", "c2", "c3")


def test_where_the_files_of_new_cases_lie_may_differ(folder):
    now = READ["dicom"].replace("ct/{id}", "./ct/{id}") + ", missing_ok: true"
    assert not load(folder, now, fitted(folder, "dicom")).warnings


def test_a_size_that_training_had_no_need_of_is_told(folder):
    plain = READ["numpy"]
    (found,) = load(folder, plain + ", size: [4, 16, 16]", fitted(folder, "numpy"), "new.yaml").warnings
    assert (found.code, found.severity) == ("preprocessing-differs", "warning")


def test_values_that_mean_something_else_are_refused(folder, monkeypatch):
    from fusionkit_plugins.readers import dicom as reader

    preprocessing = fitted(folder, "dicom")
    assert preprocessing.inputs["x"].meanings == ("CT, HU",)
    seen = reader.facts_of
    monkeypatch.setattr(reader, "facts_of", lambda stack, *more: (
        replace(seen(stack, *more), modality="PT", units="BQML") if stack[0].path.parent.name == "c2" else
        seen(stack, *more)))
    with pytest.raises(DataError) as caught:
        load(folder, READ["dicom"], preprocessing)
    (found,) = caught.value.diagnostics
    assert found.message.endswith("the values of case 'c2' have another meaning")
    assert found.why == "in training they were CT, HU; here they are PT, BQML"


@pytest.mark.parametrize(("reader", "spacing"), [("dicom", (2.0, 2.0)), ("nifti", 8.0)])
def test_samples_farther_apart_than_in_training_are_told_once(folder, tmp_path, reader, spacing):
    import nibabel

    preprocessing = fitted(folder, reader)
    (tmp_path / "nii").mkdir()
    for case in range(4):
        volume = np.full((4, 16, 16), case - 900, dtype=np.int16) + np.arange(16, dtype=np.int16)
        if reader == "dicom":
            write_series(tmp_path / "ct" / f"c{case}", volume, geometry=Geometry((2.0, *spacing)))
        else:
            image = nibabel.Nifti1Image(volume.T, np.diag([1.0, -1.0, spacing, 1.0]))
            nibabel.save(image, tmp_path / "nii" / f"c{case}.nii")
    (tmp_path / "cases.csv").write_text((folder / "cases.csv").read_text())
    (found,) = load(tmp_path, READ[reader], preprocessing).warnings
    assert found.message.startswith("input 'x': 4 cases ('c0', 'c1', 'c2', 'c3') are sampled differently")
    assert found.why.startswith("in training samples were [2, 1, 1] mm apart; in 'c0' they are [")


def test_a_run_of_a_release_that_did_not_write_it_down_still_works(folder):
    plain = json.loads(fitted(folder, "dicom").to_json())
    del plain["inputs"]
    old = Preprocessing.from_json(json.dumps(plain))
    assert load(folder, READ["dicom"].replace("400", "300"), old).warnings == ()


def test_an_option_that_the_run_does_not_know_of_had_its_default(folder):
    plain = json.loads(fitted(folder, "dicom").to_json())
    del plain["inputs"]["x"]["options"]["tilt"]
    old = Preprocessing.from_json(json.dumps(plain))
    assert load(folder, READ["dicom"], old).warnings == ()
    with pytest.raises(DataError, match="'tilt' differs"):
        load(folder, READ["dicom"] + ", tilt: keep", old)


def test_other_columns_of_categories_are_refused_and_no_crash(tmp_path):
    (tmp_path / "cases.csv").write_text(
        "id,y,s,t\n" + "".join(f"c{i},{'ab'[i % 2]},{i % 2},{i % 3}\n" for i in range(6)))
    inputs = {"x": InputNeed((None,))}

    def of(categorical, preprocessing=None):
        (tmp_path / "data.yaml").write_text(DATA % f"read: columns, categorical: [{categorical}]")
        return load_cohort(describe(tmp_path / "data.yaml"), HEADS, inputs, preprocessing is None,
                           preprocessing=preprocessing)

    cohort = of("s")
    with pytest.raises(DataError, match="'categorical' differs"):
        of("s, t", cohort.fit(cohort.rows))


def test_patients_that_the_table_of_new_cases_lacks_are_not_asked_for(cohort_file):
    table = cohort_file.with_name("cases.csv")
    rows = [line.split(",") for line in table.read_text().splitlines()]
    table.write_text("\n".join(",".join([row[0], *row[2:5]]) for row in rows) + "\n")
    inputs = {"table": InputNeed((None,))}
    cohort = load_cohort(describe(cohort_file), {}, inputs, False)
    assert cohort.description.patient is None and cohort.patients == cohort.ids
    with pytest.raises(DataError, match="no column 'patient'"):
        load_cohort(describe(cohort_file), {}, inputs)
