"""Graphs that use every key of the format: planned, written, built and run."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
import torch
from odd_components import registry

from fusionkit.network.build import build_plan, plan
from fusionkit.network.weights import save_weights
from fusionkit.planning.write_graph import written

GOOD = Path(__file__).parents[1] / "graphs" / "good"
SIZES = {"xray": (3, 11, 13), "notes": (5, 3)}
NAMES = sorted(path.stem for path in GOOD.glob("*.yaml"))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A copy of the graphs, with the weights that one of them starts from."""
    shutil.copytree(GOOD, tmp_path, dirs_exist_ok=True)
    encoder = plan({"fusionkit": 1, "inputs": {"ct": {"volume": [1, 5, 7, 9]}}, "nodes": {
        "encoder": {"use": "encoder.conv", "from": "ct", "with": {"widths": [4]}},
        "out": {"use": "head.regress", "from": "encoder", "with": {"values": ["mm"]}}}}, measured=False)
    save_weights(build_plan(encoder, seed=5), tmp_path / "lungs.safetensors")
    return tmp_path


@pytest.mark.parametrize("name", NAMES)
def test_a_good_graph_is_planned_built_and_run(folder: Path, name: str):
    made = plan(folder / f"{name}.yaml", sizes=SIZES, registry=registry())
    assert made.total is not None
    model = build_plan(made).eval()
    inputs = {value.name: torch.randn(3, *value.shape.sizes) for value in made.inputs}
    outputs = model(inputs)
    heads = {head.name: (3, len(head.names)) for head in made.heads}
    assert {key: tuple(value.shape) for key, value in outputs.items() if "." not in key} == heads
    assert all(value.isfinite().all() for value in outputs.values())
    assert sum(p.numel() for p in model.parameters()) == made.total.parameters
    assert sum(p.numel() for p in model.parameters() if p.requires_grad) == made.total.trainable


@pytest.mark.parametrize("name", NAMES)
def test_a_written_plan_is_the_same_plan(folder: Path, name: str):
    first = plan(folder / f"{name}.yaml", sizes=SIZES, registry=registry(), measured=False)
    again = plan(written(first), registry=registry(), measured=False)
    assert first.as_json() == again.as_json()
    assert written(again) == written(first)


def test_the_tests_know_of_a_good_graph():
    assert {"every_key", "smallest", "all_optional", "two_streams", "with_losses"} <= set(NAMES)
