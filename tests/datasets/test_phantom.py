"""The phantom: its ceilings, what its image and its table show, and the cohort on disk."""

import csv
from math import sqrt
from pathlib import Path

import numpy as np
import pytest
import yaml
from fusionkit_plugins.readers.dicom import DicomOptions, read
from numpy.typing import NDArray

from fusionkit.datasets.phantom import SCENARIOS, VIEWS, Latents, Scenario, View, ceilings, draw_latents, oracle, stream
from fusionkit.datasets.phantom_files import CLASSES, write_phantom
from fusionkit.datasets.phantom_image import DIAMETER_MM, DIAMETER_PER_U_MM, SIZE, SPACING_MM, render_image
from fusionkit.datasets.phantom_table import CATEGORICAL, NUMERIC, read_hidden, render_table
from fusionkit.errors import DataError

DRAWS = 200_000

# The values that docs/phantom.md promises, to four digits.
KNOWN: dict[Scenario, tuple[float, float, float]] = {
    "additive": (0.8023, 0.8023, 0.8853),
    "interaction": (0.5, 0.5, 0.9),
    "gated": (0.7386, 0.7257, 0.8537),
    "redundant": (0.8023, 0.8023, 0.8023),
    "table_useless": (0.8023, 0.5, 0.8023),
    "image_useless": (0.5, 0.8023, 0.8023),
    "missing": (0.7326, 0.7326, 0.8470),
    "missing_informative": (0.8023, 0.8211, 0.8884),
}


@pytest.fixture(scope="module")
def drawn() -> dict[Scenario, Latents]:
    return {scenario: draw_latents(scenario, DRAWS, seed=11) for scenario in SCENARIOS}


def accuracy(right: NDArray[np.bool_]) -> float:
    return float(right.mean())


def three_errors(rate: float) -> float:
    return 3 * sqrt(rate * (1 - rate) / DRAWS)


@pytest.mark.parametrize("scenario", SCENARIOS)
def test_ceilings_have_their_known_values(scenario: Scenario) -> None:
    found = ceilings(scenario)
    assert (found.image, found.table, found.both) == pytest.approx(KNOWN[scenario], abs=6e-5)


@pytest.mark.parametrize("view", VIEWS)
@pytest.mark.parametrize("scenario", SCENARIOS)
def test_the_optimal_rule_reaches_the_ceiling(drawn: dict[Scenario, Latents], scenario: Scenario, view: View) -> None:
    latents = drawn[scenario]
    chance = oracle(scenario, latents, view)
    ceiling = ceilings(scenario).of(view)
    assert abs(accuracy((chance > 0.5) == latents.label) - ceiling) < three_errors(ceiling)
    # Of a true probability, the mean is the share of y = 1 and the mean of its larger side is the accuracy.
    assert abs(chance.mean() - latents.label.mean()) < 0.004
    assert abs(np.maximum(chance, 1 - chance).mean() - ceiling) < three_errors(ceiling)


def test_naive_rules_reach_their_ceilings_and_no_more(drawn: dict[Scenario, Latents]) -> None:
    gated, informative = drawn["gated"], drawn["missing_informative"]
    naive = ceilings("gated").naive
    assert naive == pytest.approx(0.8190, abs=6e-5)
    rules = [accuracy((weight * gated.image + gated.table > 0) == gated.label) for weight in np.linspace(0, 4, 81)]
    assert abs(max(rules) - naive) < three_errors(naive)
    naive = ceilings("missing_informative").naive
    assert naive == pytest.approx(0.8604, abs=6e-5)
    told = informative.image + np.where(informative.table_present, informative.table, 0.0) > 0
    assert abs(accuracy(told == informative.label) - naive) < three_errors(naive)


def test_missing_inputs_are_as_often_absent_as_said_and_never_both(drawn: dict[Scenario, Latents]) -> None:
    missing, informative = drawn["missing"], drawn["missing_informative"]
    assert (missing.image_present | missing.table_present).all()
    assert missing.image_present.mean() == pytest.approx(1 / 1.3, abs=0.004)
    assert missing.table_present.mean() == pytest.approx(1 / 1.3, abs=0.004)
    for label, absent in ((0, 0.1), (1, 0.5)):
        assert (~informative.table_present[informative.label == label]).mean() == pytest.approx(absent, abs=0.005)
    assert informative.image_present.all()


def test_latents_depend_on_seed_and_scenario_alone() -> None:
    one, same, other = (draw_latents("additive", 50, seed) for seed in (1, 1, 2))
    assert (one.image == same.image).all() and (one.image != other.image).any()
    assert (draw_latents("gated", 50, 1).protocol != one.protocol).any()


def test_the_table_can_be_turned_back_into_v_and_carries_nothing_else(drawn: dict[Scenario, Latents]) -> None:
    latents = drawn["additive"]
    columns = render_table(latents, seed=11)
    values = np.column_stack([columns[name] for name in NUMERIC])
    np.testing.assert_allclose(read_hidden(values), latents.table, atol=1e-9)
    np.testing.assert_allclose(read_hidden(values.round(3)), latents.table, atol=2e-3)
    assert values.mean(axis=0) == pytest.approx([62, 27, 1.2, 82, 134, 85], rel=0.01)
    # Given v, the measurements tell nothing about y: what v does not explain has the same mean in both classes.
    residual = values - np.outer(latents.table, np.cov(values.T, latents.table)[-1, :-1] / latents.table.var())
    sides = [residual[latents.label == label] for label in (0, 1)]
    assert np.abs((sides[0].mean(axis=0) - sides[1].mean(axis=0)) / residual.std(axis=0)).max() < 0.02


@pytest.mark.parametrize("name", CATEGORICAL)
def test_categories_do_not_tell_the_label(drawn: dict[Scenario, Latents], name: str) -> None:
    latents = drawn["interaction"]
    column = render_table(latents, seed=11)[name]
    for value in np.unique(column):
        assert latents.label[column == value].mean() == pytest.approx(0.5, abs=0.012)


def test_protocol_is_the_flag(drawn: dict[Scenario, Latents]) -> None:
    column = render_table(drawn["gated"])["protocol"]
    assert set(column[drawn["gated"].protocol == 1]) == {"contrast"}


def read_diameter_mm(volume: NDArray[np.int16]) -> float:
    """The diameter of the nodule: one layer is taken off all soft tissue, which removes vessels, and added again."""
    soft = volume > (40 - 850) / 2
    inner = soft.copy()
    for axis in (1, 2):
        for step in (-1, 1):
            inner &= np.roll(soft, step, axis)
    core = inner[:, 6:-6, 6:-6].sum() * np.prod(SPACING_MM)
    return float(2 * np.cbrt(core * 3 / (4 * np.pi))) + 2 * SPACING_MM[1]


def test_u_can_be_read_from_the_picture() -> None:
    u = np.random.default_rng(5).standard_normal(120)
    volumes = [render_image(value, stream(0, "test", index)) for index, value in enumerate(u)]
    assert volumes[0].shape == SIZE and volumes[0].dtype == np.int16
    diameters = np.array([read_diameter_mm(volume) for volume in volumes])
    assert np.corrcoef(diameters, u)[0, 1] > 0.97
    assert np.polyfit(u, diameters, 1) == pytest.approx([DIAMETER_PER_U_MM, DIAMETER_MM], rel=0.1)


def test_a_picture_depends_on_u_and_its_stream_alone() -> None:
    one, same, bigger = (render_image(u, stream(3, "test")) for u in (0.5, 0.5, 2.0))
    np.testing.assert_array_equal(one, same)
    changed = np.abs(one.astype(int) - bigger) > 0
    assert changed.any() and not changed[0].any() and not changed[-1].any()


def test_a_picture_has_the_densities_of_a_chest() -> None:
    volumes = np.stack([render_image(0.0, stream(1, "test", index)) for index in range(20)])
    assert np.percentile(volumes, 20) == pytest.approx(-860, abs=30)
    assert 250 < volumes.max() < 500
    assert volumes.min() > -1100
    assert render_image(-9.0, stream(1, "test")).shape == SIZE


@pytest.fixture(scope="module")
def cohort(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Latents]:
    folder = tmp_path_factory.mktemp("phantom") / "data"
    return folder, write_phantom(folder, "missing", cases=23, seed=5)


def rows(path: Path) -> list[dict[str, str]]:
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def test_the_cohort_on_disk_is_what_was_drawn(cohort: tuple[Path, Latents]) -> None:
    folder, latents = cohort
    sheet = rows(folder / "cases.csv")
    assert len(sheet) == len(latents) == 23
    assert [row["diagnosis"] for row in sheet] == [CLASSES[label] for label in latents.label]
    assert [bool(row["series"]) for row in sheet] == latents.image_present.tolist()
    assert [bool(row["age"]) for row in sheet] == latents.table_present.tolist()
    for row in sheet:
        clinic = [row[name] for name in (*NUMERIC, *CATEGORICAL)]
        assert all(clinic) or not any(clinic)
    values = np.array([[float(row[name]) for name in NUMERIC] for row in sheet if row["age"]])
    np.testing.assert_allclose(read_hidden(values), latents.table[latents.table_present], atol=2e-3)
    assert [row["split"] for row in sheet].count("train") == 12
    assert {row["split"] for row in sheet} == {"train", "validation", "test"}


def test_the_series_on_disk_hold_the_pictures(cohort: tuple[Path, Latents]) -> None:
    folder, latents = cohort
    description = yaml.safe_load((folder / "data.yaml").read_text())
    given = dict(description["inputs"]["ct"])
    assert given.pop("read") == "dicom"
    plain = DicomOptions(path="x")
    index = int(np.flatnonzero(latents.image_present)[4])
    series = rows(folder / "cases.csv")[index]["series"]
    expected = render_image(latents.image[index], stream(5, "image of missing", index))
    np.testing.assert_array_equal(read(folder / "ct" / series, plain), expected[None])
    assert read(folder / "ct" / series, DicomOptions(**given)).shape == (1, *SIZE)
    assert len(list((folder / "ct").iterdir())) == latents.image_present.sum()


def test_an_absent_table_leaves_no_trace_in_the_header(cohort: tuple[Path, Latents]) -> None:
    import pydicom

    folder, latents = cohort
    for index, row in enumerate(rows(folder / "cases.csv")):
        if row["series"]:
            header = pydicom.dcmread(next((folder / "ct" / row["series"]).iterdir()), stop_before_pixels=True)
            assert ("PatientAge" in header) == bool(latents.table_present[index])


def test_hidden_csv_holds_the_oracle(cohort: tuple[Path, Latents]) -> None:
    folder, latents = cohort
    hidden = rows(folder / "hidden.csv")
    for view in VIEWS:
        told = [float(row[f"oracle_{view}"]) for row in hidden]
        np.testing.assert_allclose(told, oracle("missing", latents, view), atol=1e-6)


def test_a_folder_that_holds_something_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(DataError) as caught:
        write_phantom(tmp_path, "additive", cases=2)
    assert [found.code for found in caught.value.diagnostics] == ["folder-not-empty"]
    assert [entry.name for entry in tmp_path.iterdir()] == ["notes.txt"]


def test_an_interrupted_writing_leaves_nothing(tmp_path: Path) -> None:
    def stop(done: int, cases: int) -> None:
        if done == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_phantom(tmp_path / "data", "additive", cases=3, progress=stop)
    assert list(tmp_path.iterdir()) == []


def test_progress_counts_every_case(tmp_path: Path) -> None:
    told: list[tuple[int, int]] = []
    (tmp_path / "data").mkdir()
    write_phantom(tmp_path / "data", "additive", cases=3, progress=lambda done, cases: told.append((done, cases)))
    assert told == [(1, 3), (2, 3), (3, 3)]
