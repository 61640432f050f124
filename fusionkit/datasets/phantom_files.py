"""Writes a synthetic cohort to disk as a user would have it: series as DICOM folders, cases.csv and data.yaml."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fusionkit.datasets.dicom_writer import CT, PET, Geometry, Modality, Syntax, write_series
from fusionkit.datasets.folders import write_rows, written_aside
from fusionkit.datasets.phantom import VIEWS, Latents, Scenario, draw_latents, oracle, stream
from fusionkit.datasets.phantom_image import SIZE, SPACING_MM, Sampling, draw_anatomy, render_ct
from fusionkit.datasets.phantom_pet import PET_CENTRE_MM, PET_SIZE, PET_SPACING_MM, render_pet
from fusionkit.datasets.phantom_table import CATEGORICAL, CATEGORIES, NUMERIC, render_table
from fusionkit.progress import Progress

FOLDERS = {CT.name: "ct", PET.name: "pet"}
CLASSES = ("benign", "malignant")
WINDOW, PET_WINDOW = (-1000, 400), (0, 10)

_DESCRIPTION = """\
# A phantom cohort made by fusionkit, scenario {scenario!r}, seed {seed}: no patient, no clinical result.
# hidden.csv holds what each case hides and the optimal rule's probabilities; nothing below reads it.
fusionkit-data: 1
cases: cases.csv
id: case
split: {{column: split}}
inputs:
{images}
  clinic: {{read: columns, numeric: [{numeric}], categorical: [{categorical}],
           categories: {{{categories}}}}}
{targets}"""
_TARGETS = """\
targets:
  diagnosis: {column: diagnosis}
"""


@dataclass(frozen=True, slots=True)
class Acquisition:
    """How the images of a cohort are taken, by lot for each case; none of it has to do with the label.

    Bodies lie turned about the axis to the head by up to `turn` degrees either way. Each CT has one of the `spacings`,
    with the same number of voxels, so that it shows more or less of the body. `pet` adds a PET on a grid of its own.
    Units: `turn` in degrees, `spacings` in mm along depth, height and width.
    """

    turn: float = 0.0
    spacings: tuple[tuple[float, float, float], ...] = (SPACING_MM,)
    pet: bool = False

    def drawn(self, rng: np.random.Generator) -> Sampling:
        """How the CT of the next case is taken."""
        turn = float(rng.uniform(-self.turn, self.turn)) if self.turn else 0.0
        spacing = self.spacings[rng.integers(len(self.spacings))]
        return Sampling(spacing=spacing, turn=turn)


ORDINARY = Acquisition()


def write_phantom(
    folder: Path,
    scenario: Scenario,
    cases: int = 600,
    seed: int = 0,
    progress: Progress | None = None,
    *,
    shares: tuple[float, float] = (0.5, 0.1),
    syntax: Syntax = "explicit",
    acquisition: Acquisition = ORDINARY,
) -> Latents:
    """Write a cohort of `cases` cases to a new folder and return its latent variables, in the order of the rows.

    The folder contains `ct/CASE/*.dcm`, with a PET `pet/CASE/*.dcm`, `cases.csv`, `data.yaml` and `hidden.csv`.
    `shares` are the parts of the cases for training and validation; the rest is for testing. A missing input is an
    empty cell. `progress` is called with the number of cases done and the total.
    Raises: `DataError` (folder-not-empty) if the folder exists and is not empty.
    """
    latents = draw_latents(scenario, cases, seed)
    columns = render_table(latents, seed)
    names = [f"P{index:05d}" for index in range(cases)]
    with written_aside(folder) as aside:
        for index in range(cases):
            if latents.image_present[index]:
                patient = patient_header(names[index], columns, index, bool(latents.table_present[index]))
                case = (seed, scenario, index)
                for modality, volume, sampling in case_images(latents.image[index], acquisition, case):
                    write_series(aside / FOLDERS[modality.name] / names[index], volume, geometry_of(sampling),
                                 modality=modality, seed=case, syntax=syntax, patient=patient)
            if progress:
                progress(index + 1, cases)
        write_rows(aside / "cases.csv", _rows(names, latents, columns, case_split(cases, shares)))
        write_rows(aside / "hidden.csv", _hidden(names, scenario, latents))
        (aside / "data.yaml").write_text(described(scenario, seed, acquisition, _TARGETS), encoding="utf-8")
    return latents


def patient_header(name: str, columns: dict[str, NDArray[Any]], index: int, table_present: bool) -> dict[str, str]:
    """The header of a case; age and sex are left empty if the table is missing, since age carries a part of v."""
    if not table_present:
        return {"PatientID": name}
    age = f"{round(columns['age'][index]):03d}Y"
    return {"PatientID": name, "PatientAge": age, "PatientSex": str(columns["sex"][index])}


def case_images(u: float, acquisition: Acquisition, case: tuple[int, str, int]
            ) -> Iterator[tuple[Modality, NDArray[Any], Sampling]]:
    """The series of a case."""
    seed, scenario, index = case
    sampling = acquisition.drawn(stream(seed, f"acquisition of {scenario}", index))
    rng = stream(seed, f"image of {scenario}", index)
    anatomy = draw_anatomy(u, rng)
    yield CT, render_ct(anatomy, rng, sampling), sampling
    if acquisition.pet:
        pet = render_pet(anatomy, u, stream(seed, f"pet of {scenario}", index), sampling.turn)
        yield PET, pet, Sampling(PET_SIZE, PET_SPACING_MM, sampling.turn, PET_CENTRE_MM)


def geometry_of(sampling: Sampling) -> Geometry:
    """Where the voxels are in the patient: width runs to the left, height to the back, depth to the head."""
    depth, height, width = (middle - (size - 1) / 2 * step for size, step, middle in zip(
        sampling.size, sampling.spacing, sampling.centre, strict=True))
    return Geometry(spacing=sampling.spacing, position=(width, height, depth))


def case_split(cases: int, shares: tuple[float, float]) -> list[str]:
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


def described(scenario: str, seed: int, acquisition: Acquisition, targets: str) -> str:
    """The data file of a cohort; `targets` is its section of that name."""
    return _DESCRIPTION.format(
        scenario=scenario,
        seed=seed,
        targets=targets,
        images="\n".join(_image_lines(acquisition)),
        numeric=", ".join(NUMERIC),
        categorical=", ".join(CATEGORICAL),
        # A small cohort may lack some, which the graphs have room for.
        categories=", ".join(f"{column}: [{', '.join(names)}]" for column, names in CATEGORIES.items()),
    )


def _image_lines(acquisition: Acquisition) -> Iterator[str]:
    """The inputs that are images; a spacing is written where the files have several."""
    given = f"window: {list(WINDOW)}"
    if len(set(acquisition.spacings)) > 1:
        given += f", spacing: {list(SPACING_MM)}"
    yield f'  ct: {{read: dicom, path: "ct/{{series}}", {given}, size: {list(SIZE)}}}'
    if acquisition.pet:
        yield f'  pet: {{read: dicom, path: "pet/{{series}}", window: {list(PET_WINDOW)}, like: ct}}'
