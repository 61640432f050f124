"""Graphs of hierarchical fusion: exchange between the stages of encoders, and heads beside a central network."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
import yaml

import fusionkit

GRAPHS = Path(__file__).parents[2] / "plugins" / "graphs"


def graph(name: str, sizes: dict[str, list[int]]) -> dict:
    """A published graph with smaller inputs."""
    found = yaml.safe_load((GRAPHS / f"{name}.yaml").read_text())
    for one in found["inputs"].values():
        one.update({layout: sizes[layout] for layout in sizes if layout in one})
    return found


@pytest.fixture
def model():
    return fusionkit.build(graph("lateral-exchange", {"image": [3, 32, 32]}), seed=3).eval()


def run(model, images):
    return model(images)["grade"]


def test_a_fresh_exchange_changes_nothing_and_a_learned_one_does(model):
    images = {name: torch.rand(2, 3, 32, 32) for name in ("fundus", "angiogram")}
    plain = graph("lateral-exchange", {"image": [3, 32, 32]})
    nodes = plain["nodes"]
    for number in (2, 3):
        del nodes[f"exchange{number}"]
        nodes[f"stage{number + 1}"]["from"] = f"stage{number}"
    alone = fusionkit.build(plain).eval()
    state = {name.replace(".first.", ".fundus."): value for name, value in model.state_dict().items()
             if "exchange" not in name}
    alone.load_state_dict(state)
    with torch.no_grad():
        assert torch.equal(run(model, images), run(alone, images))
        for name, parameter in model.named_parameters():
            if "excite" in name:
                parameter.add_(0.1 * torch.randn_like(parameter))
        assert (run(model, images) - run(alone, images)).abs().max() > 1e-4


def test_losses_of_the_central_network_and_of_both_encoders_add_up():
    found = graph("centralnet", {"volume": [1, 8, 8, 8]})
    plan = fusionkit.plan(found)
    assert {head.name: head.weight for head in plan.heads} == {"diagnosis": 1, "from_mri": 0.3, "from_pet": 0.3}
    model = fusionkit.build(found, seed=3).eval()
    volumes = {name: torch.randn(3, 1, 8, 8, 8) for name in ("mri", "pet")}
    present = {"mri": torch.tensor([True, False, True]), "pet": torch.tensor([True, True, False])}
    with torch.no_grad():
        outputs = model(volumes, present=present)
    assert all(outputs[name].isfinite().all() for name in ("diagnosis", "from_mri", "from_pet"))
