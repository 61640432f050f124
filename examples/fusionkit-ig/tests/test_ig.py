"""`explanation.ig` holds to the contract, and its attributions are those of the definition."""

from __future__ import annotations

import fusionkit
import numpy as np
import pytest
import torch
from fusionkit.data.batch import Case
from fusionkit.explaining import Cases, ChosenCase, NetworkView, RunPart
from fusionkit.inference.predict import Settings
from fusionkit.registry.lookup import discover
from fusionkit.testing.conformance import Kit, checks_of
from fusionkit.testing.packages import check_package

from fusionkit_ig.ig import IntegratedGradients, IntegratedGradientsConfig, component

KIT = Kit(component)
INPUTS = {"image": {"image": [1, 5, 6]}, "table": {"vector": [3], "optional": True}}
GRAPH = {"fusionkit": 1, "inputs": INPUTS, "nodes": {
    "seen": {"use": "encoder.conv", "from": "image", "with": {"widths": [4], "blocks": 0}},
    "read": {"use": "encoder.mlp", "from": "table", "with": {"width": 4}},
    "both": {"use": "fusion.concat", "from": ["seen", "read"]},
    "result": {"use": "head.classify", "from": "both", "with": {"classes": ["no", "yes"]}},
    "alone": {"use": "head.regress", "from": "table", "with": {"values": ["length"]}}}}


@pytest.mark.parametrize("check", checks_of(component))
def test_it_holds_to_the_contract(check: str) -> None:
    finding = KIT.finding(check)
    assert finding.result == "ok", str(finding)


def test_the_package_is_whole_and_its_catalogue_fresh() -> None:
    for finding in check_package("fusionkit-ig", components=False):
        assert finding.result == "ok", str(finding)


def part(present: bool, networks: int = 1) -> RunPart:
    """One case, and networks of different weights."""
    generator = torch.Generator().manual_seed(0)
    case = Case(index=0, inputs={"image": torch.randn(1, 5, 6, generator=generator),
                                 "table": torch.randn(3, generator=generator)},
                present={"image": True, "table": present}, targets={}, target_present={})
    views = tuple(NetworkView(fusionkit.build(GRAPH, seed=seed), discover(), Settings(16, "cpu"))
                  for seed in range(networks))
    return RunPart(views, Cases(("P1",), [case], np.array([True]), None, {}), lambda head: None)


def sums(made: RunPart, head: str, column: int) -> dict[str, float]:
    method = IntegratedGradients(IntegratedGradientsConfig(steps=300))
    found = method.attributions(made, ChosenCase(0, head, "asked"), column)
    return {name: values.sum().item() for name, (values, _) in found.items()}


@pytest.mark.parametrize("networks", [1, 3])
def test_values_add_up_to_the_difference_of_the_scores(networks: int) -> None:
    made = part(True, networks)
    inputs = list(made.cases.batch(0, torch.device("cpu")).inputs.values())
    wanted = np.mean([(view.scores("result")(*inputs, {}) - view.scores("result")(*(0 * x for x in inputs), {}))[
        0, 1].item() for view in made.networks])
    assert sum(sums(made, "result", 1).values()) == pytest.approx(wanted, abs=2e-3)


def test_an_input_that_a_head_does_not_read_adds_nothing() -> None:
    found = sums(part(True), "alone", 0)
    assert found["image"] == 0 and found["table"] != 0


def test_a_missing_input_is_left_out() -> None:
    assert set(sums(part(False), "result", 0)) == {"image"}
