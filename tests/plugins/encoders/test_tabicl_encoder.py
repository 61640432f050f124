"""`encoder.tabicl`: recorded numbers of the package; training cases out of fold; its context in runs."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from fusionkit_plugins.encoders.tabicl import TabIcl, TabIclConfig
from pydantic import ValidationError
from recorded import GOLDEN
from small_study import train, write_study
from small_study import without_plots as without_plots
from tabicl._model.tabicl import TabICL

from fusionkit.api import TrainingRows
from fusionkit.cli.parser import main
from fusionkit.conversion.verification.check import check
from fusionkit.network.weights import read_tensors
from fusionkit.registry.lookup import discover
from fusionkit.shapes.layouts import Vector

SIZES: dict[str, Any] = {"embed_dim": 8, "col_nhead": 2, "row_nhead": 2, "col_num_blocks": 1, "row_num_blocks": 1,
                         "col_num_inds": 3, "row_num_cls": 2, "max_classes": 3}
CASES, PATIENTS = 29, 13
GRAPH = f"""\
fusionkit: 1
inputs:
  lab: {{vector: [3]}}
  scan: {{vector: [5], optional: true}}
nodes:
  told: {{use: encoder.mlp, from: lab, with: {{width: 7}}}}
  seen: {{use: encoder.tabicl, from: scan, weights: small.ckpt, with: {{context: 53, {", ".join(
      f"{name}: {value}" for name, value in SIZES.items())}}}}}
  both: {{use: fusion.concat, from: [told, seen], with: {{availability: true}}}}
  result: {{use: head.classify, from: both, with: {{classes: [no, yes]}}}}
training: {{epochs: 1, hold_out: 0, batch_size: 16}}
"""


def network(**options: object) -> TabIcl:
    """One whose blocks are not the identities that they start as."""
    module = TabIcl(TabIclConfig.model_validate({**SIZES, "context": 31, **options}), [Vector((5,))])
    generator = torch.Generator().manual_seed(2)
    for weight in module.parameters():
        weight.data = 0.4 * torch.randn(weight.shape, generator=generator)
    return module.eval()


def training_rows(classes: torch.Tensor, **more: Any) -> TrainingRows:
    generator = torch.Generator().manual_seed(3)
    cases = 100 + torch.arange(CASES)
    known = torch.ones(CASES, dtype=torch.bool)
    return replace(TrainingRows([torch.randn(CASES, 5, generator=generator)], known[:, None].clone(), cases,
                                cases % PATIENTS, {"result": classes}, {"result": known}), **more)


def without(rows: TrainingRows, fold: int) -> TrainingRows:
    kept = rows.patients % TabIcl.folds != fold
    return TrainingRows([rows.inputs[0][kept]], rows.present[kept], rows.cases[kept], rows.patients[kept],
                        {name: value[kept] for name, value in rows.targets.items()},
                        {name: value[kept] for name, value in rows.known.items()}, fold)


@torch.no_grad()
def fitted(rows: TrainingRows, **options: object) -> TabIcl:
    module = network(**options)
    module.fit(rows)
    for fold in range(module.folds):
        module.fit(without(rows, fold))
    return module


@torch.no_grad()
def in_training(module: TabIcl, rows: TrainingRows, table: torch.Tensor | None = None) -> torch.Tensor:
    """The vectors of all training cases as the trainer asks for them, in reverse order."""
    order = torch.arange(CASES).flip(0)
    module.cases, module.fold = rows.cases[order], rows.patients[order] % module.folds
    found = module((rows.inputs[0] if table is None else table)[order]).flip(0)
    module.cases = module.fold = None
    return found


CLASSES = torch.arange(CASES) % 3


def test_rows_logits_and_gradients_are_those_of_the_package() -> None:
    found = check("encoder.tabicl", GOLDEN / "encoders" / "tabicl_rows.npz", registry=discover())
    assert {row.entry for row in found.rows if not row.note} == {"out_rows", "out_logits", "grad_input0"}
    assert all(row.ok for row in found.rows)


def test_a_training_case_is_asked_in_the_context_of_other_folds() -> None:
    rows = training_rows(CLASSES)
    module = fitted(rows)
    found = in_training(module, rows)
    folds = rows.patients % module.folds
    with torch.no_grad():
        for fold in range(module.folds):
            kept = folds != fold
            table = torch.cat([rows.inputs[0][kept], rows.inputs[0][~kept]]).unsqueeze(0)
            wanted = module.row(module.columns(table, y_train=CLASSES[kept].float().unsqueeze(0)))[0, int(kept.sum()) :]
            torch.testing.assert_close(found[~kept], wanted)


def test_the_class_of_a_case_or_of_its_patient_is_not_in_its_vector_and_those_of_others_are() -> None:
    before = in_training(fitted(training_rows(CLASSES)), training_rows(CLASSES))
    flipped = CLASSES.clone()
    flipped[7] = (flipped[7] + 1) % 3
    after = in_training(fitted(training_rows(flipped)), training_rows(flipped))
    folds = training_rows(CLASSES).patients % TabIcl.folds
    same = folds == folds[7]
    assert torch.equal(before[same], after[same])
    assert bool((before[~same] != after[~same]).any(1).all())


def test_new_cases_are_asked_in_the_context_of_all_and_do_not_influence_each_other() -> None:
    rows = training_rows(CLASSES)
    module, asked = fitted(rows), torch.randn(7, 5)
    with torch.no_grad():
        found = module(asked)
        table = torch.cat([rows.inputs[0], asked]).unsqueeze(0)
        wanted = module.row(module.columns(table, y_train=CLASSES.float().unsqueeze(0)))[0, CASES:]
        torch.testing.assert_close(found, wanted)
        torch.testing.assert_close(module(asked[3:4]), found[3:4])


def test_a_row_that_was_changed_at_random_is_computed_anew_in_the_context_of_its_fold() -> None:
    rows = training_rows(CLASSES)
    module = fitted(rows)
    changed = rows.inputs[0].clone()
    changed[4] += 1
    found, before = in_training(module, rows, changed), in_training(module, rows)
    same = torch.arange(CASES) != 4
    assert torch.equal(found[same], before[same]) and not torch.allclose(found[4], before[4])
    with torch.no_grad():
        torch.testing.assert_close(found[4:5], module._embedded(changed[4:5], int(rows.patients[4]) % module.folds))


def test_a_case_without_a_class_is_no_context_and_has_a_vector() -> None:
    known = torch.arange(CASES) != 5
    rows = training_rows(CLASSES, known={"result": known})
    module = fitted(rows)
    other = fitted(training_rows(CLASSES.where(known, 2), known={"result": known}))
    assert torch.equal(in_training(module, rows), in_training(other, rows))
    assert bool((in_training(module, rows)[5] != 0).any())


def test_a_case_without_the_input_is_not_kept() -> None:
    there = torch.arange(CASES) != 5
    module = fitted(training_rows(CLASSES, present=there[:, None]))
    assert int(module.count) == CASES - 1 and 105 not in module.numbers[: CASES - 1].tolist()


@pytest.mark.parametrize(("more", "options", "why"), [
    ({}, {"context": 23}, "there are 29 training cases, and 'context' is 23: set 'context: 29' or more"),
    ({}, {"max_classes": 2}, "the target has 3 classes, and 'max_classes' is 2"),
    ({}, {"head": "stage"}, "'head' is 'stage'; the heads of classes are: result"),
    ({"targets": {"size": torch.rand(CASES, 1)}, "known": {"size": torch.ones(CASES) > 0}}, {},
     "the heads of classes are: none"),
    ({"targets": {"result": CLASSES, "stage": CLASSES}}, {}, r"several heads of classes \(result, stage\)"),
    ({"known": {"result": torch.zeros(CASES) > 0}}, {}, "no training case has both the input and a class")])
def test_training_cases_that_make_no_context_are_refused(
        more: dict[str, Any], options: dict[str, Any], why: str) -> None:
    with pytest.raises(ValueError, match=why):
        network(**options).fit(training_rows(CLASSES, **more))


def test_an_affine_embedding_of_several_cells_is_refused() -> None:
    with pytest.raises(ValidationError, match="needs 'col_feature_group: none'"):
        TabIclConfig(col_affine=True)


def write_checkpoint(folder: Path) -> None:
    torch.manual_seed(1)
    whole = TabICL(**{**SIZES, "icl_num_blocks": 1, "icl_nhead": 2})
    torch.save({"config": SIZES, "state_dict": whole.state_dict()}, folder / "small.ckpt")


def test_a_run_keeps_its_training_cases_and_the_weights_of_the_checkpoint(tmp_path: Path) -> None:
    write_study(tmp_path, GRAPH)
    write_checkpoint(tmp_path)
    run = train(tmp_path, "--device", "cpu")
    saved, given = read_tensors(run / "model.safetensors"), read_tensors(tmp_path / "small.ckpt")
    assert torch.equal(saved["seen.row.cls_tokens"], given["row_interactor.cls_tokens"])
    count = int(saved["seen.count"])
    kept = saved["seen.numbers"][:count].tolist()
    assert bool(saved["seen.fitted"]) and len(set(kept)) == count
    assert kept == [case for case in range(66) if case // 2 % 3 != 2 and case % 6 != 5]
    assert sorted(set(saved["seen.parts"][:count].tolist())) == [0, 1, 2, 3, 4]
    assert main(["predict", str(run), str(tmp_path / "data.yaml"), "-o", str(tmp_path / "told.csv"), "--device",
                 "cpu"]) == 0


def test_a_frozen_node_is_refused_in_training(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_study(tmp_path, GRAPH.replace("from: scan,", "from: scan, freeze: true,"))
    write_checkpoint(tmp_path)
    assert main(["train", str(tmp_path / "graph.yaml"), str(tmp_path / "data.yaml"), "-o", str(tmp_path / "run"),
                 "--device", "cpu"]) != 0
    assert "remove 'freeze'" in capsys.readouterr().err
