"""Monte Carlo dropout: whole passes against samples behind the deterministic prefix, side by side in one process.

Run: python benchmarks/mc_dropout.py [--rounds 7] [--samples 30] [--size 128] [--peers]. Two ResNet18 and a fusion, four
cases. For each place of the dropout it prints the ratio whole passes / other form (larger means that the other is
faster): the median of the rounds, its quartiles, and the limit that the multiply-adds set.

--peers runs the wrappers of torch-uncertainty and baal on the same network, in the same rounds. They want an
environment of their own; without --no-deps baal brings the whole of Jupyter, of which its dropout needs nothing:

    python -m venv peers
    peers/bin/python -m pip install -e ".[test]"
    peers/bin/python -m pip install --no-deps torch-uncertainty==0.13.0 baal==2.1.0 \
        lightning==2.5.5 structlog==22.3.0 einops==0.8.2
    peers/bin/python benchmarks/mc_dropout.py --peers

A peer that cannot be imported is named with the reason, and the rest runs.
"""

from __future__ import annotations

import argparse
import copy
import random
import statistics
import time
from collections.abc import Callable, Sequence
from typing import Any

import timm
import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

import fusionkit
from fusionkit.api import Config, Encoder, TensorShape
from fusionkit.inference.randomness import sampling
from fusionkit.inference.sampler import Sampler
from fusionkit.network.model import FusionModel

BATCH = 4
MEMORY = 2**28
PLACES = ("head", "fusion", "middle", "input", "nowhere else")


class PlaceConfig(Config):
    """Where the dropout stands."""

    place: str = "none"


class ResNet(nn.Module):
    """ResNet18 with a dropout in front of its third stage, of its first convolution, or none."""

    def __init__(self, config: PlaceConfig, inputs: Sequence[TensorShape]) -> None:
        super().__init__()
        self.net = timm.create_model("resnet18", num_classes=0)
        rate = {"middle": 0.25, "input": 0.25}
        if config.place == "middle":
            self.net.layer3 = nn.Sequential(nn.Dropout(rate["middle"]), self.net.layer3)
        self.first = nn.Dropout(rate["input"]) if config.place == "input" else nn.Identity()

    def forward(self, image: Tensor) -> Tensor:
        return self.net(self.first(image))


COMPONENT = Encoder("benchmark_resnet", PlaceConfig, ResNet, rule="B 3 h w -> ?")


def network(place: str, size: int) -> FusionModel:
    encoder = {"use": COMPONENT.id, "with": {"place": place}}
    dropout = {"use": "encoder.dropout", "with": {"rate": 0.25}}
    joined = {"use": "fusion.gmu", "with": {"width": 128}}
    return fusionkit.build({
        "fusionkit": 1, "inputs": {"left": {"image": [3, size, size]}, "right": {"image": [3, size, size]}},
        "nodes": {
            "one": {**encoder, "from": "left"}, "two": {**encoder, "from": "right"},
            "fused": {"chain": [joined, dropout] if place == "fusion" else [joined], "from": ["one", "two"]},
            "kind": {"use": "head.classify", "from": "fused",
                     "with": {"classes": ["a", "b", "c"], "hidden": [64], "dropout": 0.25 * (place == "head")}},
        }}, components=[COMPONENT]).eval()


class Both(nn.Module):
    """The network with one input, as the peers' wrappers want it: both images on the channel axis."""

    def __init__(self, model: FusionModel) -> None:
        super().__init__()
        self.model = model

    def forward(self, images: Tensor) -> Tensor:
        left, right = images.chunk(2, 1)
        return self.model({"left": left, "right": right})["kind"]


def whole_passes(model: FusionModel, sampler: Sampler, inputs: dict[str, Tensor], count: int) -> Tensor:
    with sampling(model, sampler.parts):
        return torch.stack([model(inputs)["kind"].softmax(1) for _ in range(count)])


def drawn(sampler: Sampler, inputs: dict[str, Tensor], count: int) -> Tensor:
    return torch.stack([result["kind"] for result in sampler.run(inputs).samples(count)])


def of_torch_uncertainty(model: FusionModel, images: Tensor, count: int) -> dict[str, Callable[[], Any]]:
    from torch_uncertainty.methods.mc_dropout import mc_dropout

    looped, on_batch = (mc_dropout(Both(copy.deepcopy(model)), count, on_batch=together).eval()
                        for together in (False, True))
    return {"torch-uncertainty, loop": lambda: looped(images), "torch-uncertainty, on batch": lambda: on_batch(images)}


def of_baal(model: FusionModel, images: Tensor, count: int) -> dict[str, Callable[[], Any]]:
    from baal.bayesian.caching_utils import LRUCacheModule, MCCachingModule
    from baal.bayesian.dropout import MCDropoutModule

    plain = MCDropoutModule(Both(copy.deepcopy(model))).eval()
    caching = MCCachingModule(MCDropoutModule(Both(copy.deepcopy(model)))).eval()

    def cached() -> Tensor:
        for part in caching.modules():
            if isinstance(part, LRUCacheModule):
                part._memory_input = None  # a new batch; what the round before left would make the first pass free
        return torch.cat([caching(images) for _ in range(count)])

    return {"baal, loop": lambda: torch.cat([plain(images) for _ in range(count)]), "baal, cache": cached}


def peers(model: FusionModel, inputs: dict[str, Tensor], count: int) -> dict[str, Callable[[], Any]]:
    """The wrappers that can be imported, each on a copy of its own, since they change the network."""
    images = torch.cat([inputs["left"], inputs["right"]], 1)
    calls: dict[str, Callable[[], Any]] = {}
    for name, peer in (("torch-uncertainty", of_torch_uncertainty), ("baal", of_baal)):
        try:
            calls |= peer(model, images, count)
        except ImportError as error:
            print(f"    {name} left out, {type(error).__name__}: {error}")
    for name, call in calls.items():
        first, second = call().reshape(count, len(images), -1)[:2]
        if torch.equal(first, second):
            raise SystemExit(f"{name} gives the same sample again and again; its time says nothing")
    return calls


def limit(model: FusionModel, sampler: Sampler, inputs: dict[str, Tensor], count: int) -> float:
    with FlopCounterMode(display=False) as whole:
        model(inputs)
    with FlopCounterMode(display=False) as ours:
        drawn(sampler, inputs, count)
    return count * whole.get_total_flops() / ours.get_total_flops()


def seconds(call: Callable[[], object]) -> float:
    start = time.perf_counter()
    call()
    return time.perf_counter() - start


def compare(place: str, options: argparse.Namespace) -> None:
    model = network("none" if place == "nowhere else" else place, options.size)
    one, many = Sampler(model), Sampler(model, MEMORY)
    inputs = {name: torch.randn(BATCH, 3, options.size, options.size) for name in ("left", "right")}
    calls: dict[str, Callable[[], object]] = {
        "whole passes": lambda: whole_passes(model, one, inputs, options.samples),
        "loop": lambda: drawn(one, inputs, options.samples),
        "side by side": lambda: drawn(many, inputs, options.samples),
    }
    if options.peers and place != "nowhere else":
        calls |= peers(model, inputs, options.samples)
    torch.manual_seed(0)
    wanted = whole_passes(model, one, inputs, 3)
    torch.manual_seed(0)
    same = torch.equal(wanted, drawn(one, inputs, 3))
    print(f"{place}: limit {limit(model, one, inputs, options.samples):.2f}, at once "
          f"{many.at_once(options.samples, BATCH)}, loop equal to whole passes to the bit: {same}")
    ratios: dict[str, list[float]] = {name: [] for name in calls if name != "whole passes"}
    for _ in range(options.rounds):
        took = {name: seconds(calls[name]) for name in random.sample(list(calls), len(calls))}
        for name in ratios:
            ratios[name].append(took["whole passes"] / took[name])
    for name, values in ratios.items():
        low, middle, high = statistics.quantiles(values, n=4)
        print(f"    {name:28} {middle:6.2f} [{low:.2f}, {high:.2f}]")


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--rounds", type=int, default=7)
    options.add_argument("--samples", type=int, default=30)
    options.add_argument("--size", type=int, default=128)
    options.add_argument("--places", nargs="+", default=PLACES, choices=PLACES)
    options.add_argument("--peers", action="store_true")
    chosen = options.parse_args()
    print(f"torch {torch.__version__}, {torch.get_num_threads()} threads, {chosen.samples} samples of {BATCH} cases")
    with torch.inference_mode():
        for place in chosen.places:
            compare(place, chosen)


if __name__ == "__main__":
    main()
