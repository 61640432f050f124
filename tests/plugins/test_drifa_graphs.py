"""DRIFA-Net as a whole: narrow, on images and on volumes; its Monte Carlo samples; its attention in a timm network."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

import fusionkit
from fusionkit.inference.randomness import sampling
from fusionkit.inference.sampler import Sampler
from fusionkit.network.model import FusionModel

WIDTHS = (3, 5, 7, 2)
BLOCKS = [f"nodes.block{j}.{'chain.0.' if j < 7 else ''}with.width={WIDTHS[j // 2]}" for j in range(8)]
NARROW = [f"nodes.stem.with.width={WIDTHS[0]}", *BLOCKS]
SIZES: dict[str, dict[str, tuple[int, ...]]] = {
    "images": {"cells": (3, 37, 33), "lesion": (3, 35, 41)},
    "volumes": {"cells": (1, 9, 17, 13), "lesion": (2, 7, 11, 19)},
}


def network(kind: str) -> FusionModel:
    layout = {"images": "image", "volumes": "volume"}[kind]
    sizes = [f"inputs.{name}={{{layout}: {list(shape)}}}" for name, shape in SIZES[kind].items()]
    return fusionkit.build("drifa-net", sets=[*sizes, *NARROW])


def batch(kind: str, count: int = 4) -> dict[str, Tensor]:
    generator = torch.Generator().manual_seed(1)
    return {name: torch.randn(count, *shape, generator=generator) for name, shape in SIZES[kind].items()}


@pytest.mark.parametrize("kind", SIZES)
def test_every_weight_learns_from_both_heads(kind: str) -> None:
    model = network(kind).train()
    results = model(batch(kind))
    losses = [model.head(head.name).loss(results[head.name], torch.tensor([0, 1, 2, 3])).mean() * head.weight
              for head in model.plan.heads]
    assert [head.weight for head in model.plan.heads] == [0.5, 0.5]
    torch.stack(losses).sum().backward()
    gradients = {name: value.grad for name, value in model.named_parameters()}
    assert all(value is not None and value.isfinite().all() for value in gradients.values())
    assert not [name for name, value in gradients.items() if not value.any()]


def test_samples_leave_norms_alone_and_repeat_by_seed() -> None:
    model, inputs = network("images"), batch("images")
    with torch.no_grad():
        model.train()(inputs)
    model.eval()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    sampler = Sampler(model)
    assert all(isinstance(model.get_submodule(part), nn.Dropout) for part in sampler.parts)
    assert len(sampler.parts) == 14, "two streams of six blocks and the pooling"

    def drawn(seed: int) -> list[dict[str, Tensor]]:
        torch.manual_seed(seed)
        with torch.no_grad():
            return list(sampler.run(inputs).samples(2))

    def whole(seed: int) -> list[dict[str, Tensor]]:
        torch.manual_seed(seed)
        with torch.no_grad(), sampling(model, sampler.parts):
            passes = [model(inputs) for _ in range(2)]
        return [{name: model.head(name).decode(value) for name, value in one.items()} for one in passes]

    first = drawn(7)
    for name in ("cell_type", "lesion_type"):
        assert not torch.equal(first[0][name], first[1][name])
        assert not torch.equal(first[0][name], drawn(8)[0][name])
        for again in (drawn(7), whole(7)):
            assert all(torch.equal(one[name], other[name]) for one, other in zip(first, again, strict=True))
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    with torch.no_grad():
        assert torch.equal(model(inputs)["cell_type"], model(inputs)["cell_type"])


def test_the_stages_of_a_timm_network_learn_with_one_of_three_images_absent() -> None:
    sizes = {"skin": (3, 40, 48), "smear": (3, 33, 37), "scan": (1, 36, 35)}
    model = fusionkit.build("drifa-timm", sets=[f"inputs.{name}.image={list(size)}" for name, size in sizes.items()])
    generator = torch.Generator().manual_seed(1)
    images = {name: torch.randn(3, *size, generator=generator) for name, size in sizes.items()}
    images["scan"][1] = float("nan")
    output = model.train()(images, {"scan": torch.tensor([True, False, True])})["disease"]
    model.head("disease").loss(output, torch.tensor([0, 1, 1])).mean().backward()
    gradients = {name: value.grad for name, value in model.named_parameters() if value.grad is not None}
    assert all(value.isfinite().all() for value in gradients.values())
    learning = {name.partition(".")[0] for name, value in gradients.items() if value.any()}
    assert learning == {name.partition(".")[0] for name, _ in model.named_parameters()}
