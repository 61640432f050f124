"""Phantom cohorts whose images are taken otherwise: turned bodies, voxels of several sizes, and a PET."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from fusionkit.data.batch import collate
from fusionkit.data.description import describe
from fusionkit.data.loading import load_cohort
from fusionkit.data.signature import InputNeed
from fusionkit.datasets.phantom import stream
from fusionkit.datasets.phantom_files import WINDOW, Acquisition, write_phantom
from fusionkit.datasets.phantom_image import SIZE, SPACING_MM, Sampling, draw_anatomy, render_image
from fusionkit.datasets.phantom_pet import render_pet

SOFT = -400  # HU, half-way from lung to tissue
SMALL, LARGE = (2.0, 1.2, 1.2), (3.0, 1.8, 1.8)


def offsets(spacing: tuple[float, ...]) -> NDArray[np.float64]:
    """Where the voxels are, in mm from the middle of the volume: (3, D, H, W)."""
    axes = [(np.arange(size) - (size - 1) / 2) * step for size, step in zip(SIZE, spacing, strict=True)]
    return np.stack(np.meshgrid(*axes, indexing="ij"))


def test_a_body_that_is_turned_by_a_right_angle_gives_the_volume_turned() -> None:
    plain, turned = (render_image(0.5, stream(3, "test"), Sampling(turn=turn)) > SOFT for turn in (0.0, 90.0))
    assert (np.rot90(plain, 1, (1, 2)) == turned).mean() > 0.99
    assert (np.rot90(plain, -1, (1, 2)) == turned).mean() < 0.95


def test_voxels_of_another_size_show_the_same_nodule() -> None:
    def tissue_ml(spacing: tuple[float, float, float]) -> float:
        volume = render_image(1.0, stream(3, "test"), Sampling(spacing=spacing))
        near = (offsets(spacing) ** 2).sum(0) < 14**2
        return float(((volume > SOFT) & near).sum() * np.prod(spacing) / 1000)

    assert [tissue_ml(spacing) for spacing in (SMALL, LARGE)] == pytest.approx([tissue_ml(SPACING_MM)] * 2, rel=0.05)


def test_the_uptake_tells_u() -> None:
    u = np.random.default_rng(5).standard_normal(60)
    volumes = [render_pet(draw_anatomy(value, stream(0, "body", case)), value, stream(0, "pet", case), 20.0)
               for case, value in enumerate(u)]
    hottest = [np.sort(volume, axis=None)[-8:].mean() for volume in volumes]
    assert np.corrcoef(hottest, u)[0, 1] > 0.95 and min(volume.min() for volume in volumes) >= 0


def test_a_cohort_is_read_on_one_grid_with_the_uptake_where_the_nodule_is(tmp_path: Path) -> None:
    latents = write_phantom(tmp_path / "data", "additive", 6, seed=2,
                            acquisition=Acquisition(turn=30, spacings=(SMALL, LARGE), pet=True))
    need = InputNeed((1, *SIZE))
    cohort = load_cohort(describe(tmp_path / "data/data.yaml"), {}, {"ct": need, "pet": need})
    assert {facts.spacing for (name, _), facts in cohort.facts.items() if name == "ct"} == {SMALL, LARGE}
    assert not [warning for warning in cohort.warnings if "'pet'" in str(warning.render())]
    dataset = cohort.dataset(cohort.rows, cohort.fit(cohort.rows))
    batch = collate([dataset[row] for row in range(6)])
    clear = np.flatnonzero(latents.image > 0)  # others take up little more than the wall
    assert len(clear) > 1
    for row in clear:
        sampling = Acquisition(30, (SMALL, LARGE)).drawn(stream(2, "acquisition of additive", row))
        body = draw_anatomy(latents.image[row], stream(2, "image of additive", row))
        centre = sampling.rotation().T @ body.centre
        hot = batch.inputs["pet"][row, 0].numpy()
        right, front, head, _ = batch.grids["pet"][row].numpy() @ [*np.argwhere(hot > 0.7 * hot.max()).mean(axis=0), 1]
        assert [head, -front, -right] == pytest.approx(centre, abs=0.6)
        tissue = batch.inputs["ct"][row, 0].numpy() > (SOFT - WINDOW[0]) / (WINDOW[1] - WINDOW[0])
        nearest = np.linalg.inv(batch.grids["ct"][row].numpy()) @ [-centre[2], -centre[1], centre[0], 1]
        assert tissue[tuple(np.rint(nearest[:3]).astype(int))]
