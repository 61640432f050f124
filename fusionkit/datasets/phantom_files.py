"""Writes a synthetic cohort to disk as a user would have it: CT series as DICOM folders, cases.csv and data.yaml."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fusionkit.datasets.dicom_writer import Geometry, Syntax, write_series
from fusionkit.datasets.folders import write_rows, written_aside
from fusionkit.datasets.phantom import VIEWS, Latents, Scenario, draw_latents, oracle, stream
from fusionkit.datasets.phantom_image import SIZE, SPACING_MM, render_image
from fusionkit.datasets.phantom_table import CATEGORICAL, CATEGORIES, NUMERIC, render_table
from fusionkit.progress import Progress

CLASSES = ("benign", "malignant")
WINDOW = (-1000, 400)

_DESCRIPTION = """\
# A phantom cohort made by fusionkit, scenario {scenario!r}, seed {seed}: no patient, no clinical result.
# hidden.csv holds what each case hides and the optimal rule's probabilities; nothing below reads it.
fusionkit-data: 1
cases: cases.csv
id: case
split: {{column: split}}
inputs:
  ct: {{read: dicom, path: "ct/{{series}}", window: [{low}, {high}], size: [{size}]}}
  clinic: {{read: columns, numeric: [{numeric}], categorical: [{categorical}],
           categories: {{{categories}}}}}
targets:
  diagnosis: {{column: diagnosis}}
"""


def write_phantom(
    folder: Path,
    scenario: Scenario,
    cases: int = 600,
    seed: int = 0,
    progress: Progress | None = None,
    *,
    shares: tuple[float, float] = (0.5, 0.1),
    syntax: Syntax = "explicit",
) -> Latents:
    """Write a cohort of `cases` cases to a new folder and return its latent variables, in the order of the rows.

    The folder contains `ct/CASE/*.dcm`, `cases.csv`, `data.yaml` and `hidden.csv`. `shares` are the parts of the cases
    for training and validation; the rest is for testing. A missing input is an empty cell. `progress` is called with
    the number of cases done and the total.
    Raises: `DataError` (folder-not-empty) if the folder exists and is not empty.
    """
    latents = draw_latents(scenario, cases, seed)
    columns = render_table(latents, seed)
    names = [f"P{index:05d}" for index in range(cases)]
    with written_aside(folder) as aside:
        for index in range(cases):
            if latents.image_present[index]:
                volume = render_image(latents.image[index], stream(seed, f"image of {scenario}", index))
                patient = _patient(names[index], columns, index, bool(latents.table_present[index]))
                _write_case(aside / "ct" / names[index], volume, (seed, scenario, index), syntax, patient)
            if progress:
                progress(index + 1, cases)
        write_rows(aside / "cases.csv", _rows(names, latents, columns, _split(cases, shares)))
        write_rows(aside / "hidden.csv", _hidden(names, scenario, latents))
        (aside / "data.yaml").write_text(_describe(scenario, seed), encoding="utf-8")
    return latents


def _patient(name: str, columns: dict[str, NDArray[Any]], index: int, table_present: bool) -> dict[str, str]:
    """The header of a case; age and sex are left empty if the table is missing, since age carries a part of v."""
    if not table_present:
        return {"PatientID": name}
    age = f"{round(columns['age'][index]):03d}Y"
    return {"PatientID": name, "PatientAge": age, "PatientSex": str(columns["sex"][index])}


def _write_case(folder: Path, volume: NDArray[np.int16], seed: object, syntax: Syntax, patient: dict[str, str]) -> None:
    depth, height, width = ((size - 1) / 2 * step for size, step in zip(SIZE, SPACING_MM, strict=True))
    geometry = Geometry(spacing=SPACING_MM, position=(-width, -height, -depth))
    write_series(folder, volume, geometry, seed=seed, syntax=syntax, patient=patient)


def _split(cases: int, shares: tuple[float, float]) -> list[str]:
    """The split of the cases in order: they are drawn independently, so no shuffling is needed."""
    train, validation = round(cases * shares[0]), round(cases * (shares[0] + shares[1]))
    return ["train" if i < train else "validation" if i < validation else "test" for i in range(cases)]


def _rows(
    names: list[str], latents: Latents, columns: dict[str, NDArray[Any]], split: list[str]
) -> Iterator[list[str]]:
    yield ["case", "series", "split", *NUMERIC, *CATEGORICAL, "diagnosis"]
    for index, name in enumerate(names):
        clinic = [f"{columns[column][index]:.3f}" for column in NUMERIC]
        clinic += [str(columns[column][index]) for column in CATEGORICAL]
        if not latents.table_present[index]:
            clinic = [""] * len(clinic)
        series = name if latents.image_present[index] else ""
        yield [name, series, split[index], *clinic, CLASSES[latents.label[index]]]


def _hidden(names: list[str], scenario: Scenario, latents: Latents) -> Iterator[list[str]]:
    yield ["case", "label", "u", "v", "q", "image_present", "table_present", *(f"oracle_{view}" for view in VIEWS)]
    chances = [oracle(scenario, latents, view) for view in VIEWS]
    for index, name in enumerate(names):
        whole = (latents.protocol[index], int(latents.image_present[index]), int(latents.table_present[index]))
        exact = (latents.image[index], latents.table[index])
        yield [
            name,
            str(latents.label[index]),
            *(f"{value:.6f}" for value in exact),
            *map(str, whole),
            *(f"{chance[index]:.6f}" for chance in chances),
        ]


def _describe(scenario: Scenario, seed: int) -> str:
    return _DESCRIPTION.format(
        scenario=scenario,
        seed=seed,
        low=WINDOW[0],
        high=WINDOW[1],
        size=", ".join(map(str, SIZE)),
        numeric=", ".join(NUMERIC),
        categorical=", ".join(CATEGORICAL),
        # A small cohort may lack some, which the graphs have room for.
        categories=", ".join(f"{column}: [{', '.join(names)}]" for column, names in CATEGORIES.items()),
    )
