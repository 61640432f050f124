"""Mixup: recorded partners and shares, one share for all inputs and losses, and what it refuses."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from recorded import GOLDEN
from small_study import read_table, train, write_files
from small_study import without_plots as without_plots

from fusionkit.data.augmentation import MixupOptions
from fusionkit.data.batch import collate
from fusionkit.errors import UserError
from fusionkit.network.build import build_plan
from fusionkit.runs.setup import set_up
from fusionkit.training.batch_changes import batch_changes
from fusionkit.training.mixup import partner_of
from fusionkit.training.objective import Objective, arguments, loss_sum
from fusionkit.training.settings import TrainingSettings

OPTIONS = MixupOptions(alpha=0.2, chance=0.5)


def test_recorded_partners_and_shares_are_met() -> None:
    facts = json.loads((GOLDEN / "images" / "augment" / "expected.json").read_text(encoding="utf-8"))
    for words, wanted in facts["mixup seed 3"].items():
        _, epoch, id = words.split()
        found = partner_of(OPTIONS, 3, int(epoch), id, ["A1", "A2", "B1", "C7"])
        assert found == (None if wanted is None else (wanted[0], pytest.approx(wanted[1])))
    assert partner_of(OPTIONS, 3, 0, "A1", ["A1"]) is None


GRAPH = """\
fusionkit: 1
name: pairs
inputs: {scan: {image: [1, 4, 6]}, ehr: {vector: auto, optional: true}}
nodes:
  seen: {use: encoder.conv, from: scan, with: {widths: [3], output: pooled}}
  dense: {use: encoder.mlp, from: ehr}
  both: {use: fusion.concat, from: [seen, dense]}
  result: {use: HEAD}
training: {epochs: 2, batch_size: 6, device: cpu, schedule: constant}
"""
CLASSIFY = "head.classify, from: both, with: {classes: ['no', 'yes']}"
DATA = """\
fusionkit-data: 1
cases: cases.csv
id: id
split: {column: split}
inputs:
  scan: {read: numpy, path: "{id}.npy"}
  ehr: {read: columns, numeric: [age], categorical: [site], encode: ENCODE}
targets: {result: {column: result}}
augment: AUGMENT
"""


def study(folder: Path, augment: str = "{mixup: {chance: 1.0}}", *, encode: str = "onehot", head: str = CLASSIFY
          ) -> Path:
    rows = []
    for row in range(24):
        np.save(folder / f"c{row}.npy", np.full((1, 4, 6), row, np.float32))
        blank = row % 5 == 0
        rows.append({"id": f"c{row}", "age": "" if blank else 40.5 + row, "site": "" if blank else "ab"[row // 2 % 2],
                     "result": ("no", "yes")[row % 2], "split": ("train", "train", "test")[row // 2 % 3]})
    write_files(folder, iter(rows), GRAPH.replace("HEAD", head),
                DATA.replace("ENCODE", encode).replace("AUGMENT", augment))
    return folder


def made(folder: Path, **options: Any) -> tuple[Any, Any, Any]:
    setup = set_up(study(folder, **options) / "graph.yaml", folder / "data.yaml")
    rows = setup.cohort.split_rows("train")
    dataset = setup.cohort.dataset(rows, setup.cohort.fit(rows))
    return setup.plan, dataset, batch_changes(setup.plan, TrainingSettings(), dataset)


def test_a_case_and_its_partner_are_joined_by_one_share(tmp_path: Path) -> None:
    _, dataset, change = made(tmp_path)
    before = collate([dataset[place] for place in range(len(dataset))])
    after = change(before, 0)
    assert after.mixed is not None and (after.mixed.share >= 0.5).all() and (after.mixed.share < 1).any()
    training = {dataset.ids[row] for row in dataset.rows}
    for place, row in enumerate(dataset.rows):
        share, level = after.mixed.share[place].item(), after.inputs["scan"][place, 0, 0, 0].item()
        if share > 0.999:
            continue
        other = round((level - share * row) / (1 - share))
        assert f"c{other}" in training and other != row and (other % 5 == 0) == (row % 5 == 0)
        assert after.mixed.targets["result"][place] == other % 2
        vectors = [dataset[dataset.rows.index(number)]["inputs"]["ehr"] for number in (row, other)]
        assert torch.allclose(after.inputs["ehr"][place], vectors[0] * share + vectors[1] * (1 - share), atol=1e-5)
    again = change(collate([dataset[place] for place in reversed(range(len(dataset)))]), 0)
    assert torch.equal(again.inputs["scan"].flip(0), after.inputs["scan"])
    assert torch.equal(after.targets["result"], before.targets["result"])


def test_the_loss_is_that_of_both_targets_by_their_shares(tmp_path: Path) -> None:
    plan, dataset, change = made(tmp_path)
    network = build_plan(plan)
    batch = change(collate([dataset[place] for place in range(6)]), 0)
    objective = Objective(network.eval())
    mixed = objective(*arguments(network, batch), mixed=batch.mixed, outputs=True)
    head, output = network.head("result"), mixed["output/result"]
    first, second = (head.loss(output, targets) for targets in (batch.targets["result"], batch.mixed.targets["result"]))
    share = batch.mixed.share
    assert torch.allclose(mixed["result"], (share * first + (1 - share) * second).sum())
    all_there = torch.ones(6, dtype=torch.bool)
    assert torch.allclose(loss_sum(head, output, batch.targets["result"], all_there), first.sum())


def test_training_learns_from_joined_cases(tmp_path: Path) -> None:
    plain, joined = tmp_path / "plain", tmp_path / "joined"
    for folder, augment in ((plain, "{}"), (joined, "{mixup: true}")):
        folder.mkdir()
        train(study(folder, augment), "--learning-rate", "1e-30")
    losses = [[row["train_loss"] for row in read_table(folder / "run" / "history.csv")] for folder in (plain, joined)]
    assert losses[0] != losses[1]


@pytest.mark.parametrize(("options", "said"), [
    ({"encode": "codes"}, "encodes 'site' as a code"),
    ({"augment": "{mixup: {alpha: 0}}"}, "option 'alpha' of 'mixup' is not accepted"),
    ({"augment": "{mixup: 0.2}"}, "'mixup' must be a mapping of options"),
    ({"head": "head.supcon, from: [both, seen], with: {classes: ['no', 'yes']}"}, "compares whole cases"),
])
def test_what_has_no_mean_is_refused(tmp_path: Path, options: dict[str, str], said: str) -> None:
    with pytest.raises(UserError) as caught:
        made(tmp_path, **options)
    assert said in str(caught.value)
