"""The demo's cohort: which organ is at the centre of a small cube of a real CT, given the cube and a blurred position.

The image shows the tissue but not the position, the table the position but not the tissue. One patient, labels from a
segmentation network, positions blurred on purpose (sd 30 mm): a demonstration, not a clinical result. The cubes are in
assets/organs.npz, made by tools/make_organs.py from TotalSegmentator's reference files (Apache-2.0, see NOTICE).
"""

from __future__ import annotations

from collections.abc import Iterator
from importlib.resources import as_file, files
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fusionkit.datasets.folders import write_rows, written_aside
from fusionkit.progress import Progress

ORGANS: tuple[str, ...] = (
    "liver",
    "kidney",
    "colon",
    "small_bowel",
    "bladder",
    "vertebra",
    "hip",
    "gluteus",
    "autochthon",
    "iliopsoas",
)
WINDOW = (-200, 400)
PLACE = ("x_mm", "y_mm", "z_mm")

_DESCRIPTION = """\
# Cubes of one real CT (27 mm wide, HU) and where in the body they were cut, blurred by 30 mm.
# Made from TotalSegmentator's reference files (Apache-2.0); the labels come from a segmentation network. One patient,
# so this is a demonstration and no clinical result. Folds keep whole blocks of 36 mm together, or near neighbours of
# a training cube would be tested.
fusionkit-data: 1
cases: cases.csv
id: id
split: {{folds: 5, stratify: organ, group: block, seed: 0}}
inputs:
  cube: {{read: numpy, path: "cubes/{{id}}.npy", window: [{low}, {high}]}}
  place: {{read: columns, numeric: [{place}]}}
targets:
  organ: {{column: organ}}
"""


def write_organs(
    folder: Path, cases: int | None = None, seed: int = 0, progress: Progress | None = None
) -> None:
    """Write the cubes to a new folder: `cubes/ID.npy` (1, 9, 9, 9) int16 HU, `cases.csv` and `data.yaml`.

    `cases` selects a random subset of the 3,000 cubes, equally many of each organ, by `seed`. `progress` is called with
    the number of cases done and the total. The columns x_mm, y_mm, z_mm run to the patient's right, front and head.
    Raises: `DataError` (folder-not-empty) if the folder exists and is not empty.
    """
    arrays = load_cubes()
    rows = _chosen(arrays["label"], cases, seed)
    with written_aside(folder) as aside:
        (aside / "cubes").mkdir()
        for count, row in enumerate(rows, start=1):
            np.save(aside / "cubes" / f"{_name(row)}.npy", arrays["cubes"][row][None], allow_pickle=False)
            if progress:
                progress(count, len(rows))
        write_rows(aside / "cases.csv", _sheet(arrays, rows))
        text = _DESCRIPTION.format(low=WINDOW[0], high=WINDOW[1], place=", ".join(PLACE))
        (aside / "data.yaml").write_text(text, encoding="utf-8")


def load_cubes() -> dict[str, NDArray[Any]]:
    """The shipped arrays: cubes (N, 9, 9, 9) in HU, position_mm (N, 3), block (N,), label (N,), an index of `ORGANS`.

    Axes of a cube: depth to the head, height to the front, width to the right.
    """
    asset = files("fusionkit.datasets") / "assets" / "organs.npz"
    with as_file(asset) as path, np.load(path, allow_pickle=False) as archive:
        arrays = dict(archive.items())
    assert tuple(arrays["classes"]) == ORGANS, "organs.npz and ORGANS disagree; please report"
    return arrays


def _chosen(label: NDArray[np.uint8], cases: int | None, seed: int) -> list[int]:
    """The rows to write, in the order of the arrays; the first `cases % 10` organs have one more."""
    if cases is None or cases >= len(label):
        return list(range(len(label)))
    rng = np.random.default_rng(seed)
    share, extra = divmod(max(cases, 0), len(ORGANS))
    rows: list[int] = []
    for number in range(len(ORGANS)):
        members = rng.permutation(np.flatnonzero(label == number))
        rows += members[: share + (number < extra)].tolist()
    return sorted(rows)


def _name(row: int) -> str:
    return f"cube-{row:04d}"


def _sheet(arrays: dict[str, NDArray[Any]], rows: list[int]) -> Iterator[list[str]]:
    yield ["id", "block", *PLACE, "organ"]
    for row in rows:
        place = [f"{value:.1f}" for value in arrays["position_mm"][row]]
        yield [_name(row), str(arrays["block"][row]), *place, ORGANS[arrays["label"][row]]]
