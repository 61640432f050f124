"""The schema of data files: takes what the reader takes, refuses what it can, and explains every option."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from fusionkit.datasets import breast_cancer, phantom_files
from fusionkit.planning.data_schema import data_schema
from fusionkit.registry.lookup import discover
from fusionkit.syntax.reader import read, read_file
from fusionkit.syntax.tree import to_plain

SCHEMA = data_schema(discover())
VALIDATOR = Draft202012Validator(SCHEMA)
BAD = Path(__file__).parents[1] / "data" / "bad"
BASE = """
fusionkit-data: 1
cases: cases.csv
id: id
patient: patient
blank: [NA, -999]
decimal: {weight: ","}
split: {folds: 5, stratify: kind, seed: 3}
inputs:
  ct: {read: dicom, path: "ct/{patient}", window: [-1000, 400], size: [8, 16, 16], series: "{series}"}
  ehr: {read: columns, numeric: [age, "gene_*"], categorical: [sex], date: {seen: {since: 2000-01-01}}, fill: mean}
targets:
  kind: {column: kind, values: {0: benign, 1: malignant}}
  findings: {columns: [a, b]}
"""


def faults(text: str) -> list[str]:
    return [error.message for error in VALIDATOR.iter_errors(to_plain(read(text)))]


def test_it_is_a_schema_and_takes_a_whole_file() -> None:
    Draft202012Validator.check_schema(SCHEMA)
    assert "$comment" not in SCHEMA and faults(BASE) == []


def test_files_of_the_demo_are_taken(tmp_path: Path) -> None:
    breast_cancer.write_breast_cancer(tmp_path / "b")
    phantom_files.write_phantom(tmp_path / "p", "additive", 20, 0)
    for path in (tmp_path / "b" / "data.yaml", tmp_path / "p" / "data.yaml"):
        assert not list(VALIDATOR.iter_errors(to_plain(read_file(path)))), path


@pytest.mark.parametrize(("old", "new"), [
    ("fusionkit-data: 1", "fusionkit-data: 2"), ("id: id\n", ""), ("cases:", "table:"), ("read: dicom", "read: dicon"),
    ("window: [-1000, 400]", "windows: [-1000, 400]"), ("size: [8, 16, 16]", "size: small"),
    ("fill: mean", "fill: mode"),
    ("folds: 5", "folds: 1"), ("stratify: kind", "column: part"), ("{columns: [a, b]}", "{columns: []}"),
    ("{column: kind,", "{column: kind, columns: [a],"), ("read: columns, ", ""), ("seed: 3", "seed: x"),
])
def test_what_is_wrong_is_refused(old: str, new: str) -> None:
    assert old in BASE
    assert faults(BASE.replace(old, new))


def test_every_option_is_explained() -> None:
    def described(part: dict[str, Any]) -> bool:
        return "description" in part or "$ref" in part or "const" in part

    for name in ("columns", "dicom", "image", "nifti", "numpy"):
        assert all(described(part) for part in SCHEMA["$defs"][f"read.{name}"]["properties"].values()), name
    assert all(described(part) for part in SCHEMA["properties"].values())
