"""MONAI's encoders hold to the contract, on images and on volumes; `fusionkit plugins check` tries DenseNet-121 too."""

from __future__ import annotations

import fusionkit
import pytest
import torch
from fusionkit.testing.conformance import Kit, checks_of
from fusionkit.testing.packages import check_package

from fusionkit_monai import densenet, segresnet

COMPONENTS = {module.component.id: module.component for module in (densenet, segresnet)}
SMALL = {"encoder.monai_densenet": {"growth": 5, "blocks": [1, 2, 1, 1]}}
KITS = {id: Kit(component, SMALL.get(id)) for id, component in COMPONENTS.items()}


@pytest.mark.parametrize(("id", "check"), [(id, check) for id, component in COMPONENTS.items()
                                           for check in checks_of(component)])
def test_it_holds_to_the_contract(id: str, check: str) -> None:
    finding = KITS[id].finding(check)
    assert finding.result == "ok", str(finding)


def test_the_package_is_whole_and_its_catalogue_fresh() -> None:
    for finding in check_package("fusionkit-monai", components=False):
        assert finding.result == "ok", str(finding)


def network(shape: dict[str, list[int]], use: str, options: dict[str, object], read: str = "seen"
            ) -> fusionkit.FusionModel:
    return fusionkit.build({"fusionkit": 1, "inputs": {"scan": shape}, "nodes": {
        "seen": {"use": use, "from": "scan", "with": options},
        **({} if read == "seen" else {read: {"use": "encoder.pool", "from": "seen"}}),
        "result": {"use": "head.classify", "from": read, "with": {"classes": ["no", "yes"]}}}})


@pytest.mark.parametrize(("shape", "rank"), [({"image": [3, 37, 41]}, 2), ({"volume": [1, 29, 31, 37]}, 3)])
def test_densenet_takes_the_dimensions_of_its_input(shape: dict[str, list[int]], rank: int) -> None:
    # 10 features, halved after each block but the last: ((10 + 5) // 2 + 10) // 2 + 5 = 13, 13 // 2 + 5 = 11.
    made = network(shape, "encoder.monai_densenet", {"growth": 5, "blocks": [1, 2, 1, 1]})
    assert made.seen.network.conv0.weight.dim() == 2 + rank
    sizes = next(iter(shape.values()))
    assert made.plan.node("seen").values[0].shape.sizes == (11,)
    assert made({"scan": torch.ones(2, *sizes)})["result"].shape == (2, 2)


@pytest.mark.parametrize(("shape", "wanted"), [({"image": [3, 37, 41]}, (32, 10, 11)),
                                               ({"volume": [1, 7, 11, 13]}, (32, 2, 3, 4))])
def test_segresnet_rounds_halves_up(shape: dict[str, list[int]], wanted: tuple[int, ...]) -> None:
    made = network(shape, "encoder.monai_segresnet", {"blocks": [1, 1, 1]}, read="mean")
    assert made.plan.node("seen").values[0].shape.sizes == wanted
    scan = torch.ones(2, *next(iter(shape.values())))
    assert made.results_at(["seen"], {"scan": scan})["seen"].shape == (2, *wanted)


def test_a_volume_that_is_too_small_is_refused_by_name() -> None:
    with pytest.raises(fusionkit.GraphError, match="at least 29"):
        network({"volume": [1, 28, 31, 37]}, "encoder.monai_densenet", {})
