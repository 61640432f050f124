"""The Wisconsin breast cancer table in its three groups of measurements, as a cohort on disk.

Ten features of cell nuclei, each as the mean over a picture, its standard error and its worst (largest) value: three
tables of the same ten columns about 569 tumours.
Source: Wolberg, Street, Mangasarian 1995, Breast Cancer Wisconsin (Diagnostic), UCI, doi 10.24432/C5DW2B (CC BY 4.0),
as scikit-learn ships it.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from fusionkit.datasets.folders import write_rows, written_aside
from fusionkit.errors import RunError

GROUPS: dict[str, str] = {"means": "mean {}", "errors": "{} error", "worst": "worst {}"}

_DESCRIPTION = """\
# Wisconsin breast cancer (diagnostic), UCI, CC BY 4.0: ten features of cell nuclei in three groups of measurements.
fusionkit-data: 1
cases: cases.csv
id: id
split: {{folds: 5, stratify: diagnosis, seed: 0}}
inputs:
{inputs}
targets:
  diagnosis: {{column: diagnosis}}
"""


def write_breast_cancer(folder: Path) -> None:
    """Writes `cases.csv` and `data.yaml` with the inputs means, errors and worst into a new folder.

    Raises: `RunError` if scikit-learn is not installed; `DataError` (folder-not-empty) if the folder exists and is
    not empty.
    """
    try:
        from sklearn.datasets import load_breast_cancer
    except ImportError as error:
        raise RunError("this data ships with scikit-learn: python -m pip install scikit-learn") from error
    found: Any = load_breast_cancer()
    with written_aside(folder) as aside:
        write_rows(aside / "cases.csv", _rows(found))
        (aside / "data.yaml").write_text(_describe(list(found.feature_names)), encoding="utf-8")


def _column(name: str) -> str:
    return name.replace(" ", "_")


def _rows(found: Any) -> Iterator[list[str]]:
    yield ["id", *map(_column, found.feature_names), "diagnosis"]
    for index, (values, target) in enumerate(zip(found.data, found.target, strict=True)):
        numbers = [format(float(value), ".10g") for value in values]
        yield [f"tumour-{index:03d}", *numbers, str(found.target_names[target])]


def _describe(names: list[str]) -> str:
    """The data file; each group has its ten columns in the order of the means."""
    features = [name.removeprefix("mean ") for name in names if name.startswith("mean ")]
    lines = []
    for group, pattern in GROUPS.items():
        columns = ", ".join(_column(pattern.format(feature)) for feature in features)
        lines.append(f"  {group}: {{read: columns, numeric: [{columns}]}}")
    return _DESCRIPTION.format(inputs="\n".join(lines))
