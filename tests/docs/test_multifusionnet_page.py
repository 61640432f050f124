"""docs/papers/multifusionnet.md: every command of its table trains a narrow network, on data described as it says."""

from __future__ import annotations

import csv
import re
import shlex
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from small_study import without_plots as without_plots

from fusionkit.cli.parser import main
from fusionkit.network.build import build

PAGE = (Path(__file__).parents[2] / "docs" / "papers" / "multifusionnet.md").read_text(encoding="utf-8")
COMMANDS = dict(re.findall(r"^\| ([^|]+) \| `fusionkit train ([^`]+)` \|$", PAGE, re.M))
DATA, = re.findall(r"^```yaml\n(.*?)^```$", PAGE, re.M | re.S)
MERGE = "with.width=8"
NARROW = {
    "multifusionnet": ["nodes.resnet.with.width=4", "nodes.inception.with.width=2", f"nodes.layers_r.chain.0.{MERGE}",
                       f"nodes.layers_i.chain.0.{MERGE}"],
    "multifusionnet-single": ["nodes.resnet.with.width=4", f"nodes.layers.chain.0.{MERGE}"],
    "multifusionnet-last": ["nodes.resnet.with.width=4", "nodes.inception.with.width=2"],
}


def narrow(command: str) -> tuple[str, list[str]]:
    """The graph of a command, and what it changes; without the width of a merge that has none."""
    graph, data, *words = shlex.split(command)
    assert data == "data.yaml" and words[::2] == ["--set"] * (len(words) // 2)
    sets = words[1::2]
    parts = [part for part in NARROW[graph] if part.replace(MERGE, "with.merge=concat") not in sets]
    return graph, [*sets, *parts, "inputs.cxr.image=[3,79,83]"]


def test_the_experiments_of_the_paper_are_there() -> None:
    assert {"single network, several layers", "two networks, added", "concatenation instead",
            "without FDSFM, last maps only"} <= COMMANDS.keys()


@pytest.mark.parametrize("experiment", COMMANDS)
def test_a_command_trains_what_is_not_frozen(experiment: str) -> None:
    graph, sets = narrow(COMMANDS[experiment])
    model = build(graph, sets=sets).train()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    images = torch.rand(3, 3, 79, 83, generator=torch.Generator().manual_seed(0))
    optimiser = torch.optim.SGD([value for value in model.parameters() if value.requires_grad], 0.1)
    model.head("finding").loss(model({"cxr": images})["finding"], torch.tensor([0, 1, 2])).mean().backward()
    optimiser.step()
    after = model.state_dict()
    moved = {name.partition(".")[0] for name, value in before.items() if not torch.equal(value, after[name])}
    assert "finding" in moved and not moved & {"resnet", "inception"}, "frozen networks keep statistics too"


def test_a_command_runs_as_it_is_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without test cases, whose figures and plots would take most of the time."""
    monkeypatch.chdir(tmp_path)
    rng = np.random.default_rng(0)
    with Path("cases.csv").open("w", newline="") as stream:
        sheet = csv.writer(stream)
        sheet.writerow(["image", "file", "split", "finding"])
        for case in range(6):
            Image.fromarray(rng.integers(0, 255, (90, 101 + case), dtype=np.uint8)).save(f"{case}.png")
            part = ["train", "validation"][case // 3]
            sheet.writerow([case, f"{case}.png", part, ["covid", "normal", "pneumonia"][case % 3]])
    Path("data.yaml").write_text(DATA.replace("[224, 224]", "[79, 83]"))
    command = COMMANDS["concatenation instead"]
    _, sets = narrow(command)
    words = [word for item in sets for word in ("--set", item)]
    assert main(["train", *shlex.split(command), *words, "--epochs", "1", "-o", "run"]) == 0
    assert "fusion.concat" in Path("run", "graph.yaml").read_text()
    assert len(Path("run", "history.csv").read_text().splitlines()) == 2
