"""A step without PyTorch's compiler is a step, to the bit, and a whole training imports no more than it needs."""

from __future__ import annotations

import csv
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.optim import SGD, Adam, AdamW, NAdam, Optimizer

from fusionkit.network import uncompiled as places
from fusionkit.network.uncompiled import uncompiled
from fusionkit.training import plain_step
from fusionkit.training.plain_step import change_weights

OPTIMISERS: dict[str, Any] = {
    "adam": Adam, "adamw": AdamW, "sgd": lambda weights: SGD(weights, lr=0.01, momentum=0.9), "nadam": NAdam,
    "lists": lambda weights: AdamW(weights, foreach=True)}
TRAINING = """\
import sys
from fusionkit.cli.parser import main
assert main(["train", *sys.argv[1:], "--no-plots", "--epochs", "2", "--device", "cpu"]) == 0
loaded = [name for name in ("torch._dynamo", "sympy", "torchmetrics", "matplotlib", "pandas", "scipy", "sklearn")
          if name in sys.modules]
assert not loaded, loaded
"""
GRAPH = """\
fusionkit: 1
name: small
inputs: {lab: {vector: [3]}, seen: {image: [4, 8, 8]}}
nodes:
  row: {use: encoder.embed, from: lab, with: {categories: [4], width: 8}}
  picture: {use: encoder.conv, from: seen, with: {widths: [4]}}
  told: {use: fusion.concat, from: [row, picture]}
  result: {use: head.classify, from: told, with: {classes: ["no", "yes"]}}
"""


@pytest.fixture
def no_compiler(monkeypatch: pytest.MonkeyPatch) -> None:
    """As in a process that has not imported it."""
    monkeypatch.setattr(plain_step, "has_compiler", lambda: False)
    monkeypatch.setattr(places, "has_compiler", lambda: False)


def weights_after(optimiser: Any, change: Any) -> list[Tensor]:
    torch.manual_seed(3)
    network = nn.Sequential(nn.Linear(5, 7), nn.ReLU(), nn.Linear(7, 2))
    made = optimiser(network.parameters())
    for _ in range(4):
        network(torch.randn(6, 5)).square().sum().backward()  # type: ignore[no-untyped-call]
        change(made)
        assert all(weight.grad is None for weight in network.parameters())
    return list(network.parameters())


def usual(optimiser: Any) -> None:
    optimiser.step()
    optimiser.zero_grad()


@pytest.mark.usefixtures("no_compiler")
@pytest.mark.parametrize("name", OPTIMISERS)
def test_a_step_is_the_optimisers_to_the_bit(name: str) -> None:
    ours, theirs = weights_after(OPTIMISERS[name], change_weights), weights_after(OPTIMISERS[name], usual)
    assert all(map(torch.equal, ours, theirs))


@pytest.mark.usefixtures("no_compiler")
def test_hooks_and_steps_of_others_are_called() -> None:
    class Counted(Adam):
        steps = 0

        def step(self, closure: Any = None) -> Any:
            Counted.steps += 1
            return super().step(closure)

    weight = nn.Parameter(torch.ones(2))
    own = Counted([weight])
    change_weights(own)
    assert Counted.steps == 1
    hooked, called = Adam([weight]), []
    hooked.register_step_post_hook(lambda *given: called.append(given))
    change_weights(hooked)
    assert len(called) == 1


@pytest.mark.usefixtures("no_compiler")
def test_what_is_passed_over_is_marked_only_within() -> None:
    method = Optimizer.add_param_group.__wrapped__  # type: ignore[attr-defined]
    before = vars(method).pop("__dynamo_disable", None)
    try:
        with pytest.raises(KeyError), uncompiled(Optimizer.add_param_group):
            assert vars(method)["__dynamo_disable"] is method
            raise KeyError
        assert "__dynamo_disable" not in vars(method)
    finally:
        if before is not None:
            vars(method)["__dynamo_disable"] = before


@pytest.mark.slow
def test_a_training_imports_no_compiler(tmp_path: Path) -> None:
    for case in range(24):
        np.save(tmp_path / f"{case}.npy", np.full((4, 8, 8), case, np.float32))
    with (tmp_path / "cases.csv").open("w", newline="") as file:
        rows = csv.writer(file)
        rows.writerow(["id", "split", "result", "a", "b", "kind"])
        rows.writerows([case, ("train", "train", "validation", "test")[case // 2 % 4], ("no", "yes")[case % 2],
                        case / 9, 1 - case / 7, "wxyz"[case % 4]] for case in range(24))
    (tmp_path / "graph.yaml").write_text(GRAPH)
    (tmp_path / "data.yaml").write_text(
        "fusionkit-data: 1\ncases: cases.csv\nid: id\nsplit: {column: split}\ninputs:\n"
        "  lab: {read: columns, numeric: [a, b], categorical: [kind]}\n  seen: {read: numpy, path: '{id}.npy'}\n"
        "targets: {result: {column: result}}\n")
    made = subprocess.run([sys.executable, "-c", TRAINING, *(str(tmp_path / name) for name in (
        "graph.yaml", "data.yaml")), "-o", str(tmp_path / "run")], capture_output=True, text=True, check=False)
    assert made.returncode == 0, made.stderr
