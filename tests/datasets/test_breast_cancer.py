"""The breast cancer table as a cohort of three inputs."""

import csv
import sys
from pathlib import Path

import numpy as np
import pytest
import yaml

from fusionkit.datasets.breast_cancer import write_breast_cancer
from fusionkit.errors import RunError


def test_three_groups_of_ten_columns_hold_the_whole_table(tmp_path: Path) -> None:
    datasets = pytest.importorskip("sklearn.datasets")
    write_breast_cancer(tmp_path / "data")
    description = yaml.safe_load((tmp_path / "data" / "data.yaml").read_text())
    groups = [description["inputs"][name]["numeric"] for name in ("means", "errors", "worst")]
    assert [len(set(group)) for group in groups] == [10, 10, 10]
    with (tmp_path / "data" / "cases.csv").open(newline="") as file:
        sheet = list(csv.DictReader(file))
    found = datasets.load_breast_cancer()
    values = np.array([[float(row[column]) for group in groups for column in group] for row in sheet])
    np.testing.assert_allclose(values, found.data, rtol=1e-9)
    assert [row["diagnosis"] for row in sheet] == found.target_names[found.target].tolist()
    assert len({row["id"] for row in sheet}) == 569
    assert description["split"] == {"folds": 5, "stratify": "diagnosis", "seed": 0}


def test_without_scikit_learn_it_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "sklearn.datasets", None)
    with pytest.raises(RunError, match="python -m pip install scikit-learn"):
        write_breast_cancer(tmp_path / "data")
    assert not (tmp_path / "data").exists()
