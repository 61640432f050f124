"""Targets of which some labels or values are known and others not, from the table to the figures of a run."""

import csv
import json

import numpy as np
import pytest
import torch
from fusionkit_plugins.heads.multilabel import Multilabel, MultilabelConfig
from fusionkit_plugins.heads.regress import Regress, RegressConfig
from small_study import without_plots as without_plots

import fusionkit
from fusionkit.api import Vector
from fusionkit.cli.parser import main
from fusionkit.errors import DataError
from fusionkit.evaluation.metrics import measure
from fusionkit.evaluation.predictions import collect

CASES, LABELS = 60, ["nodule", "pleural effusion"]


def write(folder, cells, values="", regress=False):
    """A table with two target columns, `cells(row, column)` in them, and a network for it."""
    rng = np.random.default_rng(0)
    rows = [[f"c{row}", ("train", "train", "validation", "test")[row % 4], f"{rng.normal():.3f}", f"{rng.normal():.3f}",
             *(cells(row, column) for column in range(2))] for row in range(CASES)]
    with (folder / "cases.csv").open("w", newline="") as stream:
        csv.writer(stream).writerows([["id", "split", "a", "b", *LABELS], *rows])
    (folder / "data.yaml").write_text(
        "fusionkit-data: 1\ncases: cases.csv\nid: id\nsplit: {column: split}\n"
        "inputs:\n  x: {read: columns, numeric: [a, b]}\n"
        f"targets:\n  finding: {{columns: [nodule, pleural effusion]{values}}}\n")
    head = "head.regress, from: f, with: {values: " if regress else "head.multilabel, from: f, with: {labels: "
    (folder / "graph.yaml").write_text(
        "fusionkit: 1\ninputs:\n  x: {vector: [2]}\nnodes:\n  f: {use: encoder.mlp, from: x, with: {width: 8}}\n"
        f"  finding: {{use: {head}[nodule, pleural effusion]}}}}\n"
        "training: {epochs: 2, hold_out: 0, batch_size: 8}\n")
    return folder / "graph.yaml", folder / "data.yaml"


def partly(row, column):
    """Known of all cases for one label, of two thirds for the other, of none for every eleventh."""
    return "" if (column and row % 3 == 0) or row % 11 == 10 else str((row + row // 4 + column) % 2)


def told(folder):
    with (folder / "run" / "predictions.csv").open() as stream:
        return list(csv.DictReader(stream))


def trained(folder, *files, **more):
    return fusionkit.train(*files, output=folder / "run", quiet=True, **more)


def test_a_label_is_scored_over_the_cases_where_it_is_known(tmp_path):
    def cells(row, column):
        return "" if column and row % 3 == 0 else str((row + row // 4 + column) % 2)

    trained(tmp_path, *write(tmp_path, cells))
    rows = told(tmp_path)
    assert {row["finding:target"] for row in rows} <= {"{}", "nodule", "pleural effusion", "nodule|pleural effusion",
                                                        "nodule|pleural effusion?", "pleural effusion?"}
    truth = [[float(cells(number, column) or "nan") for column in range(2)]
             for number in (int(row["id"][1:]) for row in rows)]
    given = [[float(row[f"finding:{label}"]) for label in LABELS] for row in rows]
    wanted = measure(collect("multilabel", LABELS, truth, given))
    metrics = json.loads((tmp_path / "run" / "metrics.json").read_text())["heads"]["finding"]
    assert metrics["per_class"]["pleural effusion"]["auroc"]["value"] == pytest.approx(
        wanted.per_class["pleural effusion"]["auroc"].value)
    assert metrics["metrics"]["auroc"]["value"] == pytest.approx(wanted.overall["auroc"].value)


def test_the_cells_of_predictions_part_labels_and_tell_none_from_not_known(tmp_path):
    trained(tmp_path, *write(tmp_path, lambda row, column: str((row // 4 + column * (row // 8)) % 2)))
    rows = told(tmp_path)
    assert {row["finding:target"] for row in rows} == {"{}", "nodule", "pleural effusion", "nodule|pleural effusion"}
    for row in rows:
        chosen = "|".join(label for label in LABELS if float(row[f"finding:{label}"]) >= 0.5)
        assert row["finding"] == (chosen or "{}")


def test_minus_one_can_be_said_to_be_not_known(tmp_path):
    def cells(row, column):
        return "-1" if column and row % 3 == 0 else str((row + row // 4 + column) % 2)

    files = write(tmp_path, cells)
    with pytest.raises(DataError, match=r"values: \{-1: null\}"):
        trained(tmp_path, *files)
    trained(tmp_path, *write(tmp_path, cells, ", values: {-1: null}"))
    assert any("?" in row["finding:target"] for row in told(tmp_path))


def test_partly_known_values_are_learnt_and_scored_one_by_one(tmp_path):
    def cells(row, column):
        return "" if column and row % 3 == 0 else f"{np.sin(row) - 2 * column:.3f}"

    trained(tmp_path, *write(tmp_path, cells, regress=True))
    rows = told(tmp_path)
    truth = [[float(cells(int(row["id"][1:]), column) or "nan") for column in range(2)] for row in rows]
    given = [[float(row[f"finding:{label}"]) for label in LABELS] for row in rows]
    wanted = measure(collect("regression", LABELS, truth, given)).per_class["pleural effusion"]["mae"].value
    metrics = json.loads((tmp_path / "run" / "metrics.json").read_text())["heads"]["finding"]
    assert metrics["per_class"]["pleural effusion"]["mae"]["value"] == pytest.approx(wanted)


@pytest.mark.parametrize("head", [
    Multilabel(MultilabelConfig(labels=LABELS, layer="none"), [Vector((2,))]),
    Regress(RegressConfig(values=LABELS, layer="none"), [Vector((2,))]),
    Regress(RegressConfig(values=LABELS, layer="none", loss="huber"), [Vector((2,))])])
def test_what_is_not_known_adds_nothing_to_the_loss_and_has_no_gradient(head):
    output = torch.tensor([[0.3, -0.7], [1.2, 0.4]], requires_grad=True)
    target = torch.tensor([[1.0, torch.nan], [0.0, 1.0]])
    losses = head.loss(output, target)
    whole = head.loss(output, torch.tensor([[1.0, 0.0], [0.0, 1.0]]))
    other = head.loss(output[:, [1, 1]], torch.zeros(2, 2))
    assert losses[1] == whole[1] and losses[0].item() == pytest.approx((whole[0] - other[0] / 2).item())
    losses.sum().backward()
    assert output.grad[0, 1] == 0 and output.grad.isfinite().all() and (output.grad != 0).sum() == 3


def test_validation_counts_a_label_that_is_not_known_neither_as_yes_nor_as_no(tmp_path):
    def cells(row, column):
        return "" if column and row % 4 == 2 and row > 6 else str((row + row // 4 + column) % 2)

    trained(tmp_path, *write(tmp_path, cells))
    seen = (tmp_path / "run" / "history.csv").read_text()
    assert "nan" not in seen.lower() and "validation_accuracy_finding" in seen


@pytest.mark.parametrize("always", ["0", "1"])
def test_a_label_that_is_the_same_in_all_training_cases_is_refused(tmp_path, always, capsys):
    graph, data = write(tmp_path, lambda row, column: always if column and row % 4 < 2 else str(row // 4 % 2))
    assert main(["train", str(graph), str(data), "-o", str(tmp_path / "run")]) == 2
    assert "[class-absent]" in capsys.readouterr().err
