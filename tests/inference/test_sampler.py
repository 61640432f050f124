"""Samples of a network: its deterministic part runs once, and the results are those of full passes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from networks import rows
from torch import Tensor, nn

import fusionkit
from fusionkit.api import Config, Encoder, TensorShape
from fusionkit.inference.randomness import sampling
from fusionkit.inference.sampler import Sampler
from fusionkit.network.model import FusionModel

# Axes: B batch.


class NoConfig(Config):
    """No options."""


class Layered(nn.Module):
    """Convolutions in a row; the subclasses put chance between the second and the third."""

    def __init__(self, config: NoConfig, inputs: Sequence[TensorShape]) -> None:
        super().__init__()
        self.one, self.two = nn.Conv2d(inputs[0].width, 5, 3, padding=1), nn.Conv2d(5, 5, 3, padding=1)
        self.norm, self.three = nn.BatchNorm2d(5), nn.Conv2d(5, 5, 3, padding=1)

    def forward(self, features: Tensor) -> Tensor:
        x = self.norm(self.two(self.one(features).relu_())).relu_()
        return self.three(self.chance(x)).mean((2, 3))

    def chance(self, x: Tensor) -> Tensor:
        return x


class Dropping(Layered):
    def chance(self, x: Tensor) -> Tensor:
        return F.dropout(x, 0.5, self.training)


class InPlace(Layered):
    """Writes a random result into what was computed before."""

    def chance(self, x: Tensor) -> Tensor:
        x += F.dropout(x, 0.5, self.training)
        return x


class Aliased(Layered):
    """Reads, behind chance, what was there before a later operation wrote into it."""

    def chance(self, x: Tensor) -> Tensor:
        dropped = F.dropout(x, 0.5, self.training)
        return dropped + x.mul_(2)


class DrawsAlone(Layered):
    """A draw that hangs on no argument: tracing would make it a constant."""

    def chance(self, x: Tensor) -> Tensor:
        return x * torch.rand(1).to(x) if self.training else x


class DrawsForBatch(Layered):
    def chance(self, x: Tensor) -> Tensor:
        return x * torch.rand_like(x[:1]) if self.training else x


class Silent(Layered):
    """Draws, and does nothing with it: samples equal the plain result."""

    def chance(self, x: Tensor) -> Tensor:
        return x + 0 * torch.rand_like(x) if self.training else x


class Weighted(Layered):
    """Behind chance it reads a value without rows, made of weights alone."""

    def chance(self, x: Tensor) -> Tensor:
        scale = self.three.bias.softmax(0)[:, None, None]
        return F.dropout(x, 0.5, self.training) * scale


class Guarded(nn.Module):
    """A dropout that is reached only while what is around it trains."""

    def __init__(self, config: NoConfig, inputs: Sequence[TensorShape]) -> None:
        super().__init__()
        self.layer, self.drop = nn.Linear(inputs[0].width, 5), nn.Dropout(0.5)

    def forward(self, features: Tensor) -> Tensor:
        x = self.layer(features)
        return self.drop(x) if self.training else x


def component(module: type[nn.Module], rule: str = "B _ ... -> B 5") -> Encoder:
    return Encoder(module.__name__.lower(), NoConfig, module, rule=rule)


ENCODERS = [component(kind) for kind in (Dropping, InPlace, Aliased, DrawsAlone, DrawsForBatch, Silent, Weighted)]
COMPONENTS = [*ENCODERS, component(Guarded, "B _ -> B 5")]
DROPOUT = {"use": "encoder.dropout", "with": {"rate": 0.4}}
HEAD = {"use": "head.classify", "from": "f", "with": {"classes": ["p", "q", "r"]}}


def network(nodes: dict[str, Any], seed: int = 0) -> FusionModel:
    graph = {"fusionkit": 1, "nodes": nodes, "inputs": {"a": {"image": [3, 7, 11]},
                                                        "b": {"vector": [13], "optional": True}}}
    model = fusionkit.build(graph, seed=seed, components=COMPONENTS).eval()
    with torch.no_grad():
        for part in model.modules():
            if isinstance(part, nn.BatchNorm2d):
                part.running_mean.normal_()
    return model


def with_encoder(name: str) -> dict[str, Any]:
    return {"e": {"use": f"encoder.{name}", "from": "a"},
            "t": {"use": "encoder.mlp", "from": "b", "with": {"width": 5}},
            "f": {"use": "fusion.gmu", "from": ["e", "t"], "with": {"width": 5}}, "y": HEAD}


CONV = {"use": "encoder.conv", "from": "a", "with": {"widths": [3, 5], "dropout": 0.3}}
MLP = {"use": "encoder.mlp", "from": "b", "with": {"width": 5, "dropout": 0.3}}
JOIN = {"use": "fusion.concat", "from": ["e", "t"]}
NETWORKS: dict[str, dict[str, Any]] = {
    **{part.name: with_encoder(part.name) for part in ENCODERS},
    "guarded": {"e": {"use": "encoder.pool", "from": "a"}, "t": {"use": "encoder.guarded", "from": "b"}, "f": JOIN,
                "y": HEAD},
    "conv": {"e": CONV, "t": MLP, "f": {"use": "fusion.sum", "from": ["e", "t"]}, "y": HEAD},
    "chain": {"e": {"chain": ["encoder.pool", {"use": "encoder.mlp", "with": {"width": 5}}, DROPOUT,
                              {"use": "encoder.project", "with": {"width": 5}}], "from": "a"}, "t": MLP,
              "f": {"use": "fusion.mean", "from": ["e", "t"]}, "y": HEAD},
    "each": {"e": {"use": "encoder.pool", "from": "a"},
             "p": {"use": "encoder.project", "from": "b", "with": {"width": 3}},
             "d": {**DROPOUT, "from": ["e", "p"], "each": True}, "f": {"use": "fusion.concat", "from": "d"}, "y": HEAD},
    "attention": {"e": {"use": "encoder.pool", "from": "a", "with": {"to": "tokens"}},
                  "x": {"use": "fusion.cross_attention", "from": ["e", "b"],
                        "with": {"width": 8, "heads": 2, "dropout": 0.5, "vector_to_tokens": 3}},
                  "f": {"use": "encoder.pool", "from": "x"}, "y": HEAD},
    "frozen": {"e": {**CONV, "freeze": True}, "t": MLP, "f": JOIN, "y": HEAD},
    "nothing": {"e": {"use": "encoder.pool", "from": "a"}, "t": {"use": "encoder.project", "from": "b"}, "f": JOIN,
                "y": HEAD},
}
MASKS = {"all there": None, "some absent": rows(1, 0, 1, 0)}


def batch() -> dict[str, Tensor]:
    generator = torch.Generator().manual_seed(1)
    return {"a": torch.randn(4, 3, 7, 11, generator=generator), "b": torch.randn(4, 13, generator=generator)}


def passes(sampler: Sampler, count: int, mask: Tensor | None, seed: int = 5) -> list[Tensor]:
    torch.manual_seed(seed)
    with torch.no_grad():
        run = sampler.run(batch(), None if mask is None else {"b": mask})
        return [result["y"] for result in run.samples(count)]


@pytest.mark.parametrize("mask", MASKS.values(), ids=MASKS.keys())
@pytest.mark.parametrize("name", NETWORKS)
def test_one_after_the_other_they_equal_whole_passes_to_the_bit(name: str, mask: Tensor | None) -> None:
    model = network(NETWORKS[name])
    sampler = Sampler(model)
    found = passes(sampler, 4, mask)
    torch.manual_seed(5)
    with torch.no_grad(), sampling(model, sampler.parts):
        present = None if mask is None else {"b": mask}
        wanted = [model.head("y").decode(model(batch(), present)["y"]) for _ in range(4)]
    assert all(torch.equal(one, other) for one, other in zip(found, wanted, strict=True))
    assert torch.equal(found[0], found[1]) == (name in ("nothing", "silent"))


@pytest.mark.parametrize("name", [  # hundreds of passes one by one: the quick tier has two networks
    pytest.param(name, marks=() if name in ("dropping", "chain") else pytest.mark.slow)
    for name in NETWORKS if name not in ("nothing", "silent")])
def test_side_by_side_they_have_the_same_mean(name: str) -> None:
    model = network(NETWORKS[name])
    one, many = Sampler(model), Sampler(model, 2**20)
    few, lots = 350, 2100  # as sharp as 600 of each, and those drawn at once are cheap
    for mask in MASKS.values():
        if many.at_once(2, 4) == 1:  # what cannot be drawn at once is drawn as ever
            pairs = zip(passes(one, 7, mask), passes(many, 7, mask), strict=True)
            assert all(torch.equal(alone, other) for alone, other in pairs)
            continue
        looped = torch.stack(passes(one, few, mask))
        at_once = torch.stack(passes(many, lots, mask, seed=6))
        spread = looped.std(0) * (1 / few + 1 / lots) ** 0.5
        assert ((at_once.mean(0) - looped.mean(0)).abs() <= 4.25 * spread + 1e-6).all()
        assert torch.allclose(at_once.std(0), looped.std(0), rtol=0.35, atol=2e-3)


@pytest.mark.parametrize("mask", MASKS.values(), ids=MASKS.keys())
def test_side_by_side_the_rows_stay_with_their_cases(mask: Tensor | None) -> None:
    model = network(NETWORKS["silent"])
    sampler = Sampler(model, 2**30)
    assert sampler.at_once(5, 4) == 5
    with torch.no_grad():
        plain = model.head("y").decode(model(batch(), None if mask is None else {"b": mask})["y"])
    for found in passes(sampler, 5, mask):
        torch.testing.assert_close(found, plain)


@pytest.mark.parametrize(("name", "cut"), [("dropping", True), ("inplace", True), ("weighted", True), ("silent", True),
                                           ("drawsalone", False), ("aliased", False)])
def test_inside_an_encoder_what_comes_before_chance_runs_once(name: str, cut: bool) -> None:
    model = network(NETWORKS[name])
    calls = {"one": 0, "three": 0}
    for part in calls:
        def count(*_: object, part: str = part) -> None:
            calls[part] += 1
        model.get_submodule(f"e.{part}").register_forward_hook(count)
    with torch.inference_mode():
        sampler = Sampler(model)
    calls.update(one=0, three=0)
    passes(sampler, 7, None)
    assert calls == {"one": 1 if cut else 7, "three": 7}


def test_numbers_drawn_for_a_batch_are_not_shared_by_samples() -> None:
    assert Sampler(network(NETWORKS["drawsforbatch"]), 2**30).at_once(9, 4) == 1
    assert Sampler(network(NETWORKS["dropping"]), 2**30).at_once(9, 4) == 9


def test_memory_bounds_how_many_are_drawn_at_once() -> None:
    model = network(NETWORKS["dropping"])
    case = Sampler(model, 1).bytes_of_case
    assert case >= 2 * 2 * 5 * 7 * 11 * 4
    assert Sampler(model, 3 * 4 * case).at_once(30, 4) == 3
    assert Sampler(model, 1).at_once(30, 4) == 1
    assert Sampler(model, 0).at_once(30, 4) == 1


def test_only_what_draws_is_switched_on_and_all_is_as_it_was() -> None:
    model = network(NETWORKS["conv"])
    sampler = Sampler(model)
    before = {name: part.training for name, part in model.named_modules()}
    state = {name: value.clone() for name, value in model.state_dict().items()}
    dropouts = {name for name, part in model.named_modules() if isinstance(part, nn.Dropout | nn.Dropout2d)
                and part.p}
    assert sampler.parts == dropouts
    passes(sampler, 3, None)
    assert {name: part.training for name, part in model.named_modules()} == before
    assert all(torch.equal(value, state[name]) for name, value in model.state_dict().items())


def test_stochastic_nodes_are_those_downstream_of_chance_and_not_the_frozen() -> None:
    assert Sampler(network(NETWORKS["frozen"])).nodes == {"t", "f", "y"}
    assert Sampler(network(NETWORKS["nothing"])).nodes == frozenset()
    assert Sampler(network(NETWORKS["chain"])).nodes == {"e", "t", "f", "y"}


def test_once_is_the_plain_result() -> None:
    for name, nodes in NETWORKS.items():
        model = network(nodes)
        sampler = Sampler(model, 2**20)
        with torch.no_grad():
            for mask in MASKS.values():
                present = None if mask is None else {"b": mask}
                run = sampler.run(batch(), present)
                list(run.samples(2))
                assert torch.equal(run.once()["y"], model.head("y").decode(model(batch(), present)["y"])), name
