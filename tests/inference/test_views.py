"""Test-time augmentation: which views, their mean, and calibrations that hold for them alone."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from small_study import read_table, train, write_files
from small_study import without_plots as without_plots

from fusionkit.cli.parser import main
from fusionkit.components.protocols import HeadPrediction
from fusionkit.data.batch import Batch
from fusionkit.errors import UserError
from fusionkit.inference.views import SPREAD, VIEWS, mean_of_views, motions_of, named_views, seen_as

GRAPH = """\
fusionkit: 1
name: views
inputs: {scan: {image: [1, 7, 9]}}
nodes:
  seen: {use: encoder.conv, from: scan, with: {widths: [4], output: pooled, norm: group}}
  result: {use: head.classify, from: seen, with: {classes: ["no", "yes"]}}
training: {epochs: 2, batch_size: 4, device: cpu}
"""
DATA = """\
fusionkit-data: 1
cases: cases.csv
id: id
split: {column: split}
inputs: {scan: {read: numpy, path: "{id}.npy"}}
targets: {result: {column: result}}
"""


def batch(values: torch.Tensor, grids: dict[str, torch.Tensor] | None = None) -> Batch:
    return Batch({"x": values}, {}, {}, {}, torch.arange(len(values)), grids=grids or {})


def test_a_mirror_image_is_exact_and_the_first_view_is_the_case() -> None:
    values = torch.rand(2, 1, 5, 6, 7, generator=torch.Generator().manual_seed(0))
    motions = motions_of(["lr", "si"])
    first, mirrored, over = (seen_as(batch(values), motion, ["x"], ()).inputs["x"] for motion in motions)
    assert torch.equal(first, values) and torch.equal(mirrored, values.flip(4)) and torch.equal(over, values.flip(2))


def test_views_are_of_the_body_and_about_one_place() -> None:
    """A sagittal volume is mirrored along its first axis; one beside another about the middle of that."""
    values = torch.rand(1, 1, 5, 6, 7, generator=torch.Generator().manual_seed(0))
    sagittal = torch.tensor([[[0.0, 0, 1, 0], [1, 0, 0, 0], [0, 1, 0, 0], [0, 0, 0, 1]]])[:, [1, 0, 2, 3]].double()
    given = Batch({"x": values, "y": values}, {}, {}, {}, torch.arange(1), grids={
        "x": sagittal, "y": sagittal + torch.tensor([0, 0, 0, 1.0]) * torch.tensor([[1.0], [0], [0], [0]])})
    found = seen_as(given, motions_of(["lr"])[1], ["x", "y"], ()).inputs
    assert torch.equal(found["x"], values.flip(2))
    assert torch.allclose(found["y"][:, :, :3], values.flip(2)[:, :, 2:], atol=1e-5)


def test_both_rotations_undo_each_other_and_labels_stay_labels() -> None:
    disc = torch.zeros(1, 1, 31, 31)
    disc[..., 10:21, 10:21] = 1
    _, left, right = (seen_as(batch(disc), motion, ["x"], ()).inputs["x"] for motion in motions_of(["rotate"]))
    assert torch.allclose(left.flip(3), right, atol=1e-5) and not torch.equal(left, disc)
    labels = seen_as(batch(disc), motions_of(["rotate"])[1], ["x"], ["x"]).inputs["x"]
    assert labels.unique().tolist() == [0, 1]


def test_the_mean_is_of_probabilities_with_their_spread() -> None:
    found = [{"result": HeadPrediction(torch.tensor([[share, 1 - share]]), {"entropy": torch.tensor([share])})}
             for share in (0.2, 0.6)]
    made = mean_of_views(found)["result"]
    assert torch.allclose(made.values, torch.tensor([[0.4, 0.6]]))
    assert torch.allclose(made.measures["entropy"], torch.tensor([0.4]))
    assert torch.allclose(made.measures[SPREAD], torch.tensor([0.2]))


def test_names_of_views_are_checked() -> None:
    assert named_views("lr, rotate") == ("rotate", "lr") and named_views(None) == ()
    with pytest.raises(UserError, match="no view 'lt'"):
        named_views("lt")
    assert len(motions_of(list(VIEWS))) == 6


def cases(folder: Path) -> Iterator[dict[str, str]]:
    rng = np.random.default_rng(3)
    for case in range(24):
        values = rng.normal(size=(1, 7, 9))
        values[0, :, : 4] += 2 * (case % 2)
        np.save(folder / f"c{case}.npy", values.astype(np.float32))
        yield {"id": f"c{case}", "result": ("no", "yes")[case % 2],
               "split": ("train", "train", "validation", "test")[case // 2 % 4]}


def test_a_run_is_predicted_in_views_and_calibrated_for_them(tmp_path: Path, capsys: pytest.CaptureFixture[str]
                                                             ) -> None:
    write_files(tmp_path, cases(tmp_path), GRAPH, DATA)
    run, data = str(train(tmp_path)), str(tmp_path / "data.yaml")
    capsys.readouterr()
    kept = json.loads((Path(run) / "calibration.json").read_text())
    assert "tta" not in kept
    assert main(["predict", run, data, "--tta"]) == 2
    said = capsys.readouterr().err
    assert "the run was calibrated with no --tta, and is asked for '--tta rotate' [tta-differs]" in said
    assert "fusionkit calibrate RUN --tta rotate" in said
    assert main(["calibrate", run, "--tta", "lr"]) == 0
    assert json.loads((Path(run) / "calibration.json").read_text())["tta"] == ["lr"]
    assert main(["predict", run, data]) == 2
    assert main(["predict", run, data, "--tta", "lr", "-o", str(tmp_path / "views.csv")]) == 0
    table = read_table(tmp_path / "views.csv")
    # The mean over a case and its mirror image is that of the mirror image: flip the files and predict again.
    for case in range(24):
        np.save(tmp_path / f"c{case}.npy", np.load(tmp_path / f"c{case}.npy")[..., ::-1].copy())
    assert main(["predict", run, data, "--tta", "lr", "-o", str(tmp_path / "mirrored.csv")]) == 0
    again = read_table(tmp_path / "mirrored.csv")
    names = [name for name in table[0] if name.startswith("result:") and name != "result:set"]
    assert f"result:{SPREAD}" in names
    for row, other in zip(table, again, strict=True):
        for name in ("result:no", "result:yes", f"result:{SPREAD}"):
            assert float(row[name]) == pytest.approx(float(other[name]), abs=1e-5)
    assert any(float(row[f"result:{SPREAD}"]) > 1e-4 for row in table)
