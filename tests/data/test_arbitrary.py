"""Whatever the files hold, the data room ends with a cohort or with diagnostics, and with nothing else."""

import numpy as np
import pytest
from bundled_readers import READERS
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from fusionkit.data.description import describe
from fusionkit.data.loading import HeadTarget, InputNeed, load_cohort
from fusionkit.data.readers.reader import ReadError
from fusionkit.errors import DataError
from fusionkit.syntax.writer import write

QUICK = settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
HEADS = {"kind": HeadTarget("multiclass", ("a", "b"), size=2)}
INPUTS = {"picture": InputNeed((None, None, None), optional=True), "table": InputNeed((None,), optional=True)}

NAMES = st.sampled_from(["fusionkit-data", "cases", "id", "patient", "split", "inputs", "targets", "read", "path",
                         "size", "column", "columns", "folds", "fraction", "numeric", "image", "nifti", "x/{id}.png",
                         "kind", "cases.csv", "values", "stratify", "group", "none", "test"])
LEAVES = st.one_of(NAMES, st.integers(-3, 9), st.floats(), st.none(), st.booleans(), st.text(max_size=6))
TREES = st.recursive(LEAVES, lambda inner: st.one_of(
    st.lists(inner, max_size=4), st.dictionaries(NAMES, inner, max_size=5)), max_leaves=20)


def attempt(path):
    try:
        load_cohort(describe(path), HEADS, INPUTS, workers=1)
    except DataError as error:
        assert str(error)


@given(text=st.text())
@QUICK
def test_any_text_as_data_file(cohort_folder, text):
    path = cohort_folder / "text.yaml"
    path.write_text(text, encoding="utf-8", errors="surrogatepass")
    attempt(path)


@given(tree=st.dictionaries(NAMES, TREES))
@QUICK
def test_any_tree_as_data_file(cohort_folder, tree):
    whole = {"fusionkit-data": 1, "cases": "cases.csv", "id": "id", **tree}
    path = cohort_folder / "tree.yaml"
    path.write_text(write(whole), encoding="utf-8", errors="surrogatepass")
    attempt(path)


WORDS = st.text("idagekindtablesplit,;\t\n\"' 019.ab\r", max_size=300).map(str.encode)


@given(raw=st.one_of(st.binary(max_size=300), WORDS))
@QUICK
def test_any_bytes_as_table(cohort_folder, raw):
    (cohort_folder / "any.csv").write_bytes(b"id,patient,age,weight,sex,split,kind\n" * (len(raw) % 2) + raw)
    path = cohort_folder / "any.yaml"
    path.write_text((cohort_folder / "data.yaml").read_text().replace("cases.csv", "any.csv"))
    attempt(path)


@pytest.mark.parametrize("name", ["image", "numpy", "nifti"])
@given(data=st.data())
@QUICK
def test_any_damage_to_a_file(cohort_folder, name, data):
    path = cohort_folder / {"image": "a.png", "numpy": "a.npy", "nifti": "a.nii"}[name]
    whole = bytearray(sound(cohort_folder, name))
    for position in data.draw(st.lists(st.integers(0, len(whole) - 1), max_size=6)):
        whole[position] = data.draw(st.integers(0, 255))
    path.write_bytes(whole[: data.draw(st.integers(0, len(whole)))])
    options = READERS[name].options(path="{id}", **({} if name == "image" else {"fill_nan": 0}))
    try:
        assert READERS[name].examine(path, options)[0].dtype == np.float32
    except ReadError as error:
        assert error.message


def sound(cohort_folder, name):
    if name == "image":
        return (cohort_folder / "x" / "c0.png").read_bytes()
    array = np.arange(105, dtype=np.int16).reshape(3, 5, 7)
    if name == "numpy":
        np.save(cohort_folder / "sound.npy", array)
        return (cohort_folder / "sound.npy").read_bytes()
    import nibabel

    return nibabel.Nifti1Image(array, np.eye(4)).to_bytes()
