"""Mirror images and words of sides: refused where they contradict, exchanged where the data file says so."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from small_study import write_files

from fusionkit.data.batch import collate
from fusionkit.errors import DataError
from fusionkit.interface import opened_run
from fusionkit.interface.console import console_for
from fusionkit.runs.setup import set_up
from fusionkit.training.batch_changes import augmented_for

GRAPH = """\
fusionkit: 1
name: sides
inputs: {scan: {image: [1, 4, 6]}, ehr: {vector: auto}}
nodes:
  seen: {use: encoder.conv, from: scan, with: {widths: [3], output: pooled}}
  dense: {use: encoder.mlp, from: ehr}
  both: {use: fusion.concat, from: [seen, dense]}
  result: {use: head.classify, from: both, with: {classes: [CLASSES]}}
"""
DATA = """\
fusionkit-data: 1
cases: cases.csv
id: id
split: {fraction: {test: 0.25}}
inputs:
  scan: {read: numpy, path: "{id}.npy"}
  ehr: {read: columns, numeric: [age], categorical: [SIDE], encode: ENCODE}
targets: {result: {column: result}}
augment: AUGMENT
"""


def cohort(folder: Path, augment: str, *, side: str = "side", encode: str = "onehot",
           sides: tuple[str, str] = ("left", "right"), classes: tuple[str, str] = ("no", "yes")) -> Any:
    rng = np.random.default_rng(0)
    rows = []
    for row in range(24):
        np.save(folder / f"c{row}.npy", rng.normal(size=(1, 4, 6)).astype(np.float32))
        rows.append({"id": f"c{row}", "age": 40.5 + row, side: sides[row // 2 % 2], "result": classes[row % 2]})
    data = DATA.replace("SIDE", side).replace("ENCODE", encode).replace("AUGMENT", augment)
    write_files(folder, iter(rows), GRAPH.replace("CLASSES", ", ".join(map(repr, classes))), data)
    return set_up(folder / "graph.yaml", folder / "data.yaml").cohort


@pytest.mark.parametrize(("augment", "more", "said"), [
    ("{scan: {flip: true}}", {}, "column 'side' of 'ehr' is of one side"),
    ("{scan: mmcaf}", {"sides": ("L", "R")}, "'L', 'R' would not be true of a mirror image"),
    ("{scan: mmcaf}", {"sides": ("OD", "OS")}, "'swap: {side: [OD, OS]}'"),
    ("{scan: {flip: true}, swap: {side: [left, right]}}", {"classes": ("left lung", "other")}, "a class of 'result'"),
    ("{scan: {flip: true}}", {"side": "left_size", "sides": ("a", "b")}, "column 'left_size' of 'ehr'"),
    ("{scan: {noise: true}, swap: {age: [1, 2]}}", {}, "names 'age', which is no column of categories"),
    ("{scan: {flip: true}, swap: {side: [left, rigth]}}", {}, "names 'rigth', which column 'side' lacks"),
    ("{scan: {flip: true}, swap: [side]}", {}, "must be a mapping from column to two values"),
])
def test_a_mirror_image_that_contradicts_a_word_is_refused(tmp_path: Path, augment: str, more: dict[str, Any],
                                                           said: str) -> None:
    with pytest.raises(DataError) as caught:
        cohort(tmp_path, augment, **more)
    assert said in str(caught.value)


@pytest.mark.parametrize("augment", ["{scan: {flip: {axis: ap}}}", "{scan: {preset: mmcaf, flip: off}}"])
def test_other_changes_are_not(tmp_path: Path, augment: str) -> None:
    assert len(cohort(tmp_path, augment)) == 24


def test_a_mirrored_view_at_prediction_is_refused_as_well_and_swaps_do_not_help(
        tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made = cohort(tmp_path, "{scan: {flip: true}, swap: {side: [left, right]}}")
    monkeypatch.setattr(opened_run, "cohort_of", lambda *_, **__: made)

    def read(tta: str) -> Any:
        options = opened_run.RunKeywords(tta=tta, data_roots=())
        opened = opened_run.OpenedRun(None, None, (), None, options, None, console_for(None, True))
        return opened.cohort(None, require_targets=False)

    assert read("rotate,ap") is made
    with pytest.raises(DataError, match="'--tta lr' mirrors cases left for right, and column 'side'"):
        read("rotate,lr")


@pytest.mark.parametrize("encode", ["onehot", "codes"])
def test_words_are_exchanged_in_the_cases_that_are_mirrored(tmp_path: Path, encode: str) -> None:
    made = cohort(tmp_path, "{scan: {flip: 0.5}, swap: {side: [left, right], result: [left lung, right lung]}}",
                  encode=encode, classes=("left lung", "right lung"))
    dataset = made.dataset(made.rows, made.fit(made.rows))
    before = collate([dataset[row] for row in range(24)])
    after = augmented_for(dataset, 0)(before, 0)
    mirrored = 0
    for row in range(24):
        turned = after.inputs["scan"][row].equal(before.inputs["scan"][row].flip(2))
        assert turned or after.inputs["scan"][row].equal(before.inputs["scan"][row])
        mirrored += turned
        vector, changed = (batch.inputs["ehr"][row, 1:].tolist() for batch in (before, after))
        other = vector[::-1] if encode == "onehot" else [3 - vector[0]]
        assert changed == (other if turned else vector)
        assert after.targets["result"][row] == (before.targets["result"][row] + turned) % 2
    assert 0 < mirrored < 24
