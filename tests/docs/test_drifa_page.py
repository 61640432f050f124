"""docs/papers/drifa-net.md: its graph trains a step, with a ConvNeXt, with a ResNet, and without the optional scan."""

import re
from pathlib import Path

import pytest
import torch

import fusionkit

PAGE = (Path(__file__).parents[2] / "docs" / "papers" / "drifa-net.md").read_text(encoding="utf-8")
GRAPHS = re.findall(r"^```yaml\n(.*?)^```$", PAGE, re.M | re.S)
SIZES = {"skin": (3, 96, 96), "smear": (3, 64, 80), "scan": (1, 72, 72)}


def test_the_page_has_a_graph() -> None:
    assert len(GRAPHS) == 1


@pytest.mark.parametrize("model", ["convnext_atto", "resnet18"])
@pytest.mark.parametrize("text", GRAPHS, ids=["example"])
def test_a_graph_of_the_page_trains_a_step(text: str, model: str, tmp_path: Path) -> None:
    path = tmp_path / "graph.yaml"
    path.write_text(text.replace("convnext_atto", model))
    network = fusionkit.build(path).train()
    images = {name: torch.randn(3, *size, generator=torch.Generator().manual_seed(1)) for name, size in SIZES.items()}
    present = {"scan": torch.tensor([True, False, True])}
    images["scan"][1] = float("nan")
    optimiser = torch.optim.SGD(network.parameters(), 0.1)
    before = {name: value.detach().clone() for name, value in network.named_parameters()}
    results = network(images, present)
    loss = network.head("disease").loss(results["disease"], torch.tensor([0, 1, 1])).mean()
    loss.backward()
    optimiser.step()
    assert torch.isfinite(loss)
    moved = {name.split(".")[0] for name, value in network.named_parameters() if not torch.equal(value, before[name])}
    assert {"early", "first", "late", "second", "disease"} <= moved
    assert all(torch.isfinite(value).all() for value in network.parameters())
