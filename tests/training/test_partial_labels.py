"""Heads whose labels are missing, for some cases or for all of a batch: a step learns from the labelled cases alone."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import numpy as np
import pytest
import torch
from small_runs import Cohort, network
from small_study import description, read_table, train, write_files
from small_study import without_plots as without_plots
from torch import Tensor

import fusionkit
from fusionkit.data.batch import Batch, collate
from fusionkit.network.model import FusionModel
from fusionkit.training.distributed import Processes
from fusionkit.training.settings import TrainingSettings
from fusionkit.training.step import Stepper

CASES = 6
WIDTHS = (3, 5, 7, 2)


def drifa() -> tuple[FusionModel, Batch]:
    """DRIFA-Net, narrow, on images of two sizes, and a batch for it; the heads weigh 0.3 and 0.7."""
    blocks = (f"nodes.block{j}.{'chain.0.' if j < 7 else ''}with.width={WIDTHS[j // 2]}" for j in range(8))
    model = fusionkit.build("drifa-net", sets=[
        "inputs.cells.image=[3,37,33]", "inputs.lesion.image=[3,35,41]", f"nodes.stem.with.width={WIDTHS[0]}", *blocks,
        "nodes.cell_type.loss=0.3", "nodes.lesion_type.loss=0.7"])
    generator = torch.Generator().manual_seed(1)
    everyone = torch.ones(CASES, dtype=torch.bool)
    return model, Batch(
        {"cells": torch.randn(CASES, 3, 37, 33, generator=generator),
         "lesion": torch.randn(CASES, 3, 35, 41, generator=generator)}, {"cells": everyone, "lesion": everyone},
        {"cell_type": torch.arange(CASES) % 5, "lesion_type": torch.arange(CASES) % 7},
        {"cell_type": everyone, "lesion_type": everyone}, torch.arange(CASES))


def small() -> tuple[FusionModel, Batch]:
    """An image and an optional table, a class and a value, and a batch of both."""
    cohort = Cohort(CASES, gaps=False)
    return network(), collate([cohort[place] for place in range(CASES)])


NETWORKS: Mapping[str, Callable[[], tuple[FusionModel, Batch]]] = {"drifa-net": drifa, "small": small}
SOME = torch.tensor([True, False, False, True, True, False])
NONE = torch.zeros(CASES, dtype=torch.bool)


def gradients(model: FusionModel) -> dict[str, Tensor]:
    return {name: value.grad for name, value in model.named_parameters() if value.grad is not None}


def by_hand(model: FusionModel, batch: Batch, labelled: Mapping[str, Tensor]) -> dict[str, float]:
    """The mean loss of each head over its labelled cases, taken out of the batch; gradients are left in the network."""
    torch.manual_seed(3)
    present = {"table": batch.present["table"]} if "table" in batch.present else {}
    results = model(batch.inputs, present)
    means = {head.name: model.head(head.name).loss(results[head.name][labelled[head.name]],
                                                   batch.targets[head.name][labelled[head.name]]).mean()
             for head in model.plan.heads if labelled[head.name].any()}
    sum(head.weight * means[head.name] for head in model.plan.heads if head.name in means).backward()
    return {name: float(value.detach()) for name, value in means.items()}


@pytest.mark.parametrize("mask", [SOME, NONE], ids=["some", "none"])
@pytest.mark.parametrize("name", NETWORKS)
def test_a_step_learns_from_the_labelled_cases_alone(name: str, mask: Tensor, tmp_path: Path) -> None:
    model, batch = NETWORKS[name]()
    first, second = (head.name for head in model.plan.heads)
    batch.target_present.update({first: ~SOME, second: mask})
    wanted = by_hand(model, batch, batch.target_present)
    expected = {part: value.clone() for part, value in gradients(model).items()}
    model.zero_grad(set_to_none=True)

    batch.targets[second][~mask] = -1 if batch.targets[second].dtype == torch.int64 else float("nan")
    settings = TrainingSettings(device="cpu", optimiser="sgd", weight_decay=0.0)
    stepper = Stepper(model, settings, Processes(settings, tmp_path))
    totals, _ = stepper.totals([batch])
    assert totals.rows == {first: 3, second: int(mask.sum())}
    torch.manual_seed(3)
    outcome = stepper.gradients([batch], totals)
    found = gradients(model)
    assert outcome.finite
    assert outcome.sums[first] / 3 == pytest.approx(wanted[first], rel=1e-5)
    assert outcome.sums[second] == pytest.approx(wanted.get(second, 0) * 3, rel=1e-5)
    weights = {head.name: head.weight for head in model.plan.heads}
    assert outcome.loss == pytest.approx(sum(weights[head] * value for head, value in wanted.items()), rel=1e-5)
    for part in found:
        torch.testing.assert_close(found[part], expected.get(part, torch.zeros_like(found[part])), rtol=1e-4, atol=1e-6)
    assert found.keys() >= expected.keys()
    assert any(part.startswith(f"{second}.") and value.any() for part, value in found.items()) == bool(mask.any())

    before = {part: value.detach().clone() for part, value in model.named_parameters()}
    stepper.change(0.1)
    moved = {part.partition(".")[0] for part, value in model.named_parameters() if not torch.equal(value, before[part])}
    assert first in moved and (second in moved) == bool(mask.any())
    assert all(value.isfinite().all() for value in model.state_dict().values())


GRAPH = """\
fusionkit: 1
name: two-tasks
inputs:
  table: {vector: [3]}
nodes:
  told: {use: encoder.mlp, from: table, with: {width: 5}}
  kind: {use: head.classify, from: told, loss: 0.25, with: {classes: [no, yes]}}
  grade: {use: head.classify, from: told, loss: 0.75, with: {classes: [low, high]}}
training: {epochs: 2, hold_out: 0, batch_size: 4, learning_rate: 0.01}
"""
DATA = description({"table": "{read: columns, numeric: [a, b, c]}"}, {"kind": "kind", "grade": "grade"})


def cases() -> Iterator[dict[str, object]]:
    rng = np.random.default_rng(2)
    for case in range(48):
        grade = ["low", "high"][case // 4 % 2] if case % 4 == 0 else ""
        yield {"id": f"c{case}", **dict(zip("abc", rng.normal(case % 2, 1, 3).round(3), strict=True)),
               "kind": ["no", "yes"][case // 2 % 2], "grade": grade,
               "split": ["train", "validation", "test"][case // 16]}


def test_a_sheet_whose_second_target_is_empty_for_some(tmp_path: Path) -> None:
    """A quarter of the cases has a grade; with four in a batch, some batches have none."""
    run = train(write_files(tmp_path, cases(), GRAPH, DATA))
    for row in read_table(run / "history.csv"):
        for part in ("train", "validation"):
            kind, grade = (float(row[f"{part}_loss_{head}"]) for head in ("kind", "grade"))
            assert float(row[f"{part}_loss"]) == pytest.approx(0.25 * kind + 0.75 * grade, rel=1e-5)
    heads = json.loads((run / "metrics.json").read_text())["heads"]
    assert {name: head["counts"]["cases"] for name, head in heads.items()} == {"kind": 16, "grade": 4}
    rows = read_table(run / "predictions.csv")
    assert len(rows) == 16 and all(0 < float(row["grade:high"]) < 1 for row in rows), "every case is told its grade"
    fitted = json.loads((run / "calibration.json").read_text())["heads"]
    assert (fitted["kind"]["cases"], fitted["grade"]["cases"]) == (16, 4)
