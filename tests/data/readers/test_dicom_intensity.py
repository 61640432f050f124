"""Values of DICOM files against recorded ones: air and windows of CT, SUV of PET."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import dicom_files
import numpy as np
import pydicom
import pytest
from fusionkit_plugins.readers.dicom import DicomOptions, examine, read
from pydicom.dataset import Dataset
from recorded import GOLDEN

from fusionkit.data.cohort import Cohort
from fusionkit.data.description import describe
from fusionkit.data.loading import HeadTarget, InputNeed, load_cohort
from fusionkit.data.preprocessing import Preprocessing
from fusionkit.data.readers.reader import ReadError
from fusionkit.errors import DataError

FOLDER = GOLDEN / "images/dicom"
RECORDED = np.load(FOLDER / "expected.npz")


def options(**given: Any) -> DicomOptions:
    return DicomOptions(path="{id}", **given)


@pytest.mark.parametrize("name", ["ct_no_tag", "ct_pad_3024", "ct_pad_range", "ct_pad_signed", "ct_pad_unsigned",
                                  "ct_pad_zero"])
def test_padding_and_windows_of_a_ct(name: str) -> None:
    path = FOLDER / f"{name}.dcm"
    np.testing.assert_array_equal(read(path, options())[0, 0], RECORDED["ct.air"])
    windows = {"lung": [-1350, 150], "soft": [-160, 240], "bone": [-450, 1050]}
    for given in (windows, list(windows)):
        np.testing.assert_allclose(read(path, options(window=given))[:, 0], RECORDED["ct.windows"], atol=1e-6)


STATED = json.loads((FOLDER / "expected.json").read_text())
PET = sorted(path.name for path in (FOLDER / "pet").iterdir())


@pytest.mark.parametrize("name", PET)
def test_suv_of_every_way_of_writing_a_pet(name: str) -> None:
    expected = STATED["pet"][name]
    if isinstance(expected, str):
        with pytest.raises(ReadError) as caught:
            read(FOLDER / "pet" / name, options(unit="suv"))
        assert f"refused {caught.value.code}" == expected and caught.value.fix
        return
    values, facts = examine(FOLDER / "pet" / name, options(unit="suv"))
    assert float(str(facts.remark("suv-factor") or "nan")) == pytest.approx(expected["factor"], rel=1e-9)
    assert values.max() == pytest.approx(expected["suv_max"], rel=1e-6) and facts.units == "SUVbw"


def pet(folder: Path, name: str = "bqml_start", **edit: Any) -> Path:
    """A copy of a recorded PET series with other elements; one that is None is removed."""
    for number in (0, 1):
        made = pydicom.dcmread(FOLDER / f"pet/{name}/{number}.dcm")
        for keyword, value in edit.items():
            if value is None:
                del made[keyword]
            else:
                setattr(made, keyword, value)
        dicom_files.save(made, folder / f"{number}.dcm")
    return folder


def cohort(folder: Path, written: str, weights: list[str], preprocessing: Preprocessing | None = None) -> Cohort:
    rows = [f"c{place},{'ab'[place % 2]},{weight}" for place, weight in enumerate(weights)]
    (folder / "cases.csv").write_text("\n".join(["id;y;kg", *(row.replace(",", ";", 2) for row in rows)]) + "\n")
    (folder / "data.yaml").write_text("fusionkit-data: 1\ncases: cases.csv\nid: id\ninputs:\n"
                                      f"  pet: {{read: dicom, path: '{{id}}', {written}}}\n"
                                      "targets: {y: {column: y}}\n")
    return load_cohort(describe(folder / "data.yaml"), {"y": HeadTarget("multiclass", ("a", "b"))},
                       {"pet": InputNeed((1, None, None, None))}, preprocessing is None, preprocessing=preprocessing)


def test_the_weight_comes_from_the_table_and_the_unit_is_kept_with_the_run(tmp_path: Path) -> None:
    for case in range(4):
        pet(tmp_path / f"c{case}", PatientWeight=None if case == 1 else 70)
    loaded = cohort(tmp_path, "unit: suv, weight: kg", ["140", "70", "", "35,0"])
    factors = [float(str(loaded.facts["pet", row].remark("suv-factor"))) for row in range(4)]
    np.testing.assert_allclose(np.array(factors) / STATED["pet"]["bqml_start"]["factor"], [2, 1, 1, 0.5], rtol=1e-9)
    assert not loaded.warnings
    fitted = loaded.fit(loaded.rows)
    assert fitted.inputs["pet"].meanings == ("PT, SUVbw",) and fitted.inputs["pet"].options["unit"] == "suv"
    cohort(tmp_path, "unit: suv, weight: '{kg}'", ["140", "70", "", "35"], fitted)
    with pytest.raises(DataError) as caught:
        cohort(tmp_path, "window: [0, 10]", ["1", "1", "1", "1"], fitted)
    assert "'unit' differs" in str(caught.value) and "write 'unit: suv'" in str(caught.value)


def test_doubtful_times_are_warned_of(tmp_path: Path) -> None:
    pet(tmp_path / "c0", "datetime_of_other_day")
    pet(tmp_path / "c1", DecayFactor=1.02, ActualFrameDuration=120000)
    pet(tmp_path / "c2", DecayFactor=STATED["pet_decay_factor"]["at_reference"], ActualFrameDuration=120000)
    told = {found.code: found for found in cohort(tmp_path, "unit: suv", ["", "", ""]).warnings}
    assert set(told) == {"suv-dates", "suv-reference-time", "constant-input"}
    assert "(case 'c0')" in told["suv-dates"].message and "(case 'c1')" in told["suv-reference-time"].message


def test_mr_without_a_scale_is_warned_of_until_the_data_file_says_how_it_is_read(tmp_path: Path) -> None:
    for case in range(2):
        pet(tmp_path / f"c{case}", Modality="MR", PatientWeight=case)
    for way, codes in (("window: [0, 9]", {"mr-scale"}), ("normalise: zscore", set()), ("normalise: none", set())):
        told = {found.code for found in cohort(tmp_path, way, ["", ""]).warnings}
        assert told - {"constant-input"} == codes


def test_an_enhanced_pet_needs_a_mapping_to_suv(tmp_path: Path) -> None:
    enhanced = {"SOPClassUID": "1.2.840.10008.5.1.4.1.1.128.1"}
    with pytest.raises(ReadError) as caught:
        read(pet(tmp_path / "a", **enhanced), options(unit="suv"))
    assert caught.value.code == "suv-enhanced"
    unit, mapping = Dataset(), Dataset()
    unit.CodeValue, mapping.RealWorldValueSlope, mapping.RealWorldValueIntercept = "{SUVbw}g/ml", 0.5, 1
    mapping.MeasurementUnitsCodeSequence = [unit]
    group = Dataset()
    group.RealWorldValueMappingSequence = [mapping]
    path = pet(tmp_path / "b", PerFrameFunctionalGroupsSequence=[group], **enhanced) / "0.dcm"
    stored = pydicom.dcmread(path).pixel_array
    np.testing.assert_allclose(read(path, options(unit="suv"))[0, 0], stored * 0.5 + 1)


@pytest.mark.parametrize(("edit", "code"), [
    ({"Modality": "CT"}, "suv-not-pet"), ({"PatientWeight": "900"}, "suv-weight"),
    ({"AcquisitionTime": None}, "suv-times"), ({"RadiopharmaceuticalInformationSequence": None}, "suv-dose")])
def test_what_suv_cannot_be_made_of_is_refused(tmp_path: Path, edit: dict[str, Any], code: str) -> None:
    with pytest.raises(ReadError) as caught:
        read(pet(tmp_path / "a", **edit), options(unit="suv"))
    assert caught.value.code == code and caught.value.fix


def test_the_options_of_suv_go_together() -> None:
    for given in ({"weight": "kg"}, {"unit": "suv", "form": "image"}):
        with pytest.raises(ValueError, match="it is for"):
            options(**given)
