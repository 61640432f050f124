"""TIP as a user runs it: a stage without targets, with the graphs of docs/training.md, and the training after it."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np
import pytest
import torch
from small_study import read_table, without_plots, write_files

from fusionkit.cli.parser import main
from fusionkit.interface.check import check
from fusionkit.network.build import build_plan
from fusionkit.network.weights import read_tensors

__all__ = ["without_plots"]
PAGE = Path(__file__).parents[3] / "docs" / "training.md"


def written(name: str) -> str:
    """A block of the page that begins with a comment of this name."""
    found = re.search(rf"```yaml\n# {name}\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)
    assert found is not None
    return found[1]


def cases(folder: Path) -> Iterator[Mapping[str, object]]:
    rng = np.random.default_rng(3)
    (folder / "ct").mkdir()
    for case in range(36):
        label = case % 2
        np.save(folder / "ct" / f"{case}.npy", rng.normal(label, 1, (1, 8, 8)).astype(np.float32))
        blank = case % 5 == 0
        yield {"id": case, "file": "" if case % 7 == 6 else f"ct/{case}.npy", "age": "" if blank else rng.normal(60, 9),
               "crp": rng.normal(label, 1), "sex": "fm"[case % 3 % 2], "smoker": "" if case % 4 == 3 else
               ["no", "yes"][label], "result": ["no", "yes"][label], "split": "test" if case % 3 == 2 else "train"}


@pytest.fixture
def study(tmp_path: Path) -> Path:
    write_files(tmp_path, list(cases(tmp_path)), written("tip.yaml"), written("data.yaml"))
    (tmp_path / "before.yaml").write_text(written("before.yaml"))
    (tmp_path / "views.yaml").write_text(written("views.yaml"))
    return tmp_path


def test_the_network_begins_with_what_the_stage_learned(study: Path) -> None:
    assert main(["train", str(study / "before.yaml"), str(study / "views.yaml"), "-o", str(study / "pre"),
                 "--stage", "pretrain"]) == 0
    rows = read_table(study / "pre" / "history.csv")
    for name in ("itc", "itm", "tr"):
        assert all(float(row[f"train_loss_tip.loss_{name}"]) > 0 for row in rows)
    assert float(rows[-1]["train_loss"]) < float(rows[0]["train_loss"])
    kept = read_tensors(study / "pre" / "model.safetensors")
    made = build_plan(check(study / "graph.yaml").plan).state_dict()
    places = {"both": "tip.encoder", "told": "told.masked", "seen": "seen"}
    begun = {name: f"{places[node]}.{rest}" for name in made for node, _, rest in [name.partition(".")]
             if node != "result"}
    assert begun and all(torch.equal(made[name], kept[theirs]) for name, theirs in begun.items())
    assert main(["train", str(study / "graph.yaml"), str(study / "data.yaml"), "-o", str(study / "run")]) == 0
    assert len(read_table(study / "run" / "predictions.csv")) == 12
