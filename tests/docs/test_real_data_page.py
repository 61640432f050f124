"""docs/real-data.md: each data file reads small files as it says, and its graph fits; one of them is trained."""

from __future__ import annotations

import csv
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import dicom_files
import nibabel
import numpy as np
import pytest
from pydicom.dataset import Dataset
from small_study import without_plots as without_plots

import fusionkit
from fusionkit.interface.check import check
from fusionkit.interface.inspect import Inspection, inspect

PAGE = (Path(__file__).parents[2] / "docs" / "real-data.md").read_text(encoding="utf-8")
SMALL = {"32, 96, 96": "6, 10, 10", "224, 224": "12, 12", "32, 64, 64": "6, 10, 10"}
"""Sizes of the page, and those that are read here: the files are small."""
CASES = 12


def study(folder: Path, title: str, rows: Iterator[dict[str, Any]]) -> tuple[Path, Path]:
    """The graph and the data file of a section, with the table that the data file names."""
    section = PAGE.partition(f"## {title}\n")[2].partition("\n## ")[0]
    data, graph = re.findall(r"^```yaml\n(.*?)^```", section, re.M | re.S)
    for large, small in SMALL.items():
        data, graph = data.replace(large, small), graph.replace(large, small)
    (folder / "data.yaml").write_text(data)
    (folder / "graph.yaml").write_text(graph)
    table = list(rows)
    with (folder / re.findall(r"^cases: (\S+)", data, re.M)[0]).open("w", newline="") as file:
        sheet = csv.DictWriter(file, table[0])
        sheet.writeheader()
        sheet.writerows(table)
    return folder / "graph.yaml", folder / "data.yaml"


def seen(graph: Path, data: Path, output: Path) -> Inspection:
    """What `check` passes and `inspect` shows."""
    checked = check(graph, data=data)
    assert checked.warnings == ()
    return inspect(data, graph, output=output, cases=1, versions=1, quiet=True)


def scanned(folder: Path) -> Iterator[dict[str, Any]]:
    """Exports of a scanner of PET and CT: a CT, and a PET with and without correction for attenuation."""
    rng = np.random.default_rng(0)
    drug = Dataset()
    drug.RadionuclideTotalDose, drug.RadionuclideHalfLife, drug.RadiopharmaceuticalStartTime = 3.5e8, 6586.2, "100000"
    for case in range(CASES):
        patient, frame = f"p{case:02d}", f"1.2.3.{case + 1}"
        tissue = rng.integers(24, 1500, (6, 10, 10)).astype(np.int16)
        own = {"FrameOfReferenceUID": frame, "StudyInstanceUID": f"{frame}.1"}
        dicom_files.series(folder / "dicom" / patient / "A", tissue, 3.0, PixelSpacing=[1.5, 1.5],
                           SeriesInstanceUID=f"{frame}.2", **own)
        pet = {"Modality": "PT", "SOPClassUID": dicom_files.PET, "Units": "BQML", "DecayCorrection": "START",
               "SeriesDate": "20260102", "SeriesTime": "110000", "AcquisitionDate": "20260102",
               "AcquisitionTime": "110000", "RescaleIntercept": 0, "RescaleSlope": 2, "PixelSpacing": [4, 4],
               "RadiopharmaceuticalInformationSequence": [drug], "PatientWeight": None if case else 70, **own}
        for number, corrected in enumerate((["DECY"], ["ATTN", "DECY"])):
            dicom_files.series(folder / "dicom" / patient / "B" / str(number),
                               rng.integers(0, 9000, (6, 6, 6)).astype(np.int16), 4.0, CorrectedImage=corrected,
                               SeriesInstanceUID=f"{frame}.{3 + number}", **pet)
        yield {"patient": patient, "age": 50 + case, "weight_kg": 60 + case if case else "", "sex": "fm"[case % 2],
               "stage": ("I", "II", "III")[case % 3], "response": ("no", "yes")[case // 2 % 2]}


def radiographs(folder: Path) -> Iterator[dict[str, Any]]:
    rng = np.random.default_rng(0)
    for case in range(24):
        names = {"pa": f"{case}.dcm", "lateral": "" if case % 5 == 0 else f"{case}-side.dcm"}
        for view, name in zip(("PA", "LL"), names.values(), strict=True):
            stored = rng.integers(0, 4096, (14, 11)).astype(np.uint16)
            made = dicom_files.dataset(
                stored, "DX", dicom_files.RADIOGRAPH, ViewPosition=view, WindowCenter=2048, WindowWidth=4096,
                PhotometricInterpretation=f"MONOCHROME{1 + case % 2}")
            if name:
                dicom_files.save(made, folder / "xray" / name)
        yield {"study": f"s{case}", **names, "person": case // 2, "finding": ("none", "effusion")[case // 2 % 2]}


def magnetic(folder: Path) -> Iterator[dict[str, Any]]:
    rng = np.random.default_rng(0)
    for case in range(CASES):
        name = f"m{case:02d}"
        (folder / "mr" / name).mkdir(parents=True)
        for sequence, step in (("t1", 1.0), ("flair", 1.3)):
            volume = rng.gamma(4, 80 + 20 * case, (12, 12, 8)).astype(np.float32)
            nibabel.save(nibabel.Nifti1Image(volume, np.diag([-step, step, 2.0, 1.0])),
                         folder / "mr" / name / f"{sequence}.nii.gz")
        lesion = np.zeros((12, 12, 8), np.uint8)
        lesion[4 - case // 4 : 8, 3 : 6 + case % 4, 2:6] = 1
        nibabel.save(nibabel.Nifti1Image(lesion, np.diag([-1.0, 1, 2, 1])), folder / "mr" / name / "lesion.nii.gz")
        yield {"id": name, "age": 50 + case, "grade": ("low", "high")[case // 2 % 2]}


def test_ct_pet_and_a_table(tmp_path: Path) -> None:
    graph, data = study(tmp_path, "CT, PET and a table", scanned(tmp_path))
    made = {each.name: each for each in seen(graph, data, tmp_path / "looks").inputs}
    assert made["ct"].sizes == made["pet"].sizes == {"[1, 6, 10, 10]": CASES}
    assert made["clinic"].absent == 0


def test_radiographs_of_two_views_are_trained_with_one_missing(tmp_path: Path) -> None:
    graph, data = study(tmp_path, "Radiographs from the front and from the side", radiographs(tmp_path))
    made = {each.name: each for each in seen(graph, data, tmp_path / "looks").inputs}
    assert (made["pa"].absent, made["lateral"].absent) == (0, 5)
    run = fusionkit.train(graph, data, output=tmp_path / "run", epochs=2, batch_size=64, quiet=True)
    assert run is not None and (tmp_path / "run" / "metrics.json").is_file()


def test_mr_with_a_mask(tmp_path: Path) -> None:
    graph, data = study(tmp_path, "MR with a mask", magnetic(tmp_path))
    made = {each.name: each for each in seen(graph, data, tmp_path / "looks").inputs}
    assert made["lesion"].values[0].percentiles[0] == 0 and made["lesion"].values[0].percentiles[-1] == 1
    assert all(made[name].sizes == {"[1, 6, 10, 10]": CASES} for name in ("t1", "flair", "lesion"))


@pytest.mark.parametrize("large", SMALL)
def test_every_size_that_is_made_smaller_is_on_the_page(large: str) -> None:
    assert large in PAGE
