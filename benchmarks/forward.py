"""Composed networks against the same networks written by hand: forward time, side by side in one process.

Run: python benchmarks/forward.py [--rounds 40]. Prints the median of the rounds' ratios hand / composed (larger means
that the composed network is faster), its quartiles, and the same for a network timed against itself.
"""

from __future__ import annotations

import argparse
import random
import statistics
import time
from collections.abc import Callable

import torch
from torch import Tensor, nn

import fusionkit


def hand_chain(model: nn.Module, count: int) -> nn.Module:
    """Projections in a row and a head as one writes them: one attribute each, one line each."""
    lines = [f"        x = self.n{index}(x)" for index in range(count)]
    source = "\n".join(["class Hand(nn.Module):", "    def forward(self, inputs):", "        x = inputs['x']", *lines,
                        "        return {'result': self.result(x)}"])
    scope: dict[str, type[nn.Module]] = {}
    exec(source, {"nn": nn}, scope)  # a hundred lines that a person would have typed
    made = scope["Hand"]()
    for index in range(count):
        made.add_module(f"n{index}", model.get_submodule(f"n{index}"))
    made.add_module("result", model.get_submodule("result"))
    return made


class HandOrgans(nn.Module):
    """The network of the demo by hand: two encoders, concatenation, a head."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.tissue, self.where = model.get_submodule("tissue"), model.get_submodule("where")
        self.organ = model.get_submodule("organ")

    def forward(self, inputs: dict[str, Tensor]) -> dict[str, Tensor]:
        both = torch.cat([self.tissue(inputs["cube"]), self.where(inputs["place"])], 1)
        return {"organ": self.organ(both)}


def chain_graph(count: int) -> dict[str, object]:
    nodes: dict[str, object] = {
        f"n{i}": {"use": "encoder.project", "from": f"n{i - 1}" if i else "x", "with": {"width": 16}}
        for i in range(count)
    }
    nodes["result"] = {"use": "head.classify", "from": f"n{count - 1}", "with": {"classes": ["a", "b"]}}
    return {"fusionkit": 1, "inputs": {"x": {"vector": [16]}}, "nodes": nodes}


def seconds(call: Callable[[], object], repeats: int) -> float:
    start = time.process_time()
    for _ in range(repeats):
        call()
    return (time.process_time() - start) / repeats


def compare(name: str, hand: nn.Module, composed: nn.Module, inputs: dict[str, Tensor], *, rounds: int,
            repeats: int) -> None:
    calls = {"hand": lambda: hand(inputs), "again": lambda: hand(inputs), "composed": lambda: composed(inputs)}
    ratios: dict[str, list[float]] = {"again": [], "composed": []}
    with torch.inference_mode():
        for call in calls.values():
            seconds(call, repeats)
        for _ in range(rounds):
            order = random.sample(list(calls), len(calls))
            took = {label: seconds(calls[label], repeats) for label in order}
            for label in ratios:
                ratios[label].append(took["hand"] / took[label])
    for label, values in ratios.items():
        low, middle, high = statistics.quantiles(values, n=4)
        what = "control" if label == "again" else "composed"
        print(f"{name:28} {what:9} {middle:.3f} [{low:.3f}, {high:.3f}]")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=40)
    rounds = parser.parse_args().rounds
    torch.set_num_threads(1)
    print(f"torch {torch.__version__}, {torch.get_num_threads()} thread, {rounds} rounds; ratio hand / composed")
    for count in (10, 30, 100):
        model = fusionkit.build(chain_graph(count)).eval()
        compare(f"{count} small nodes, batch 1", hand_chain(model, count).eval(), model,
                {"x": torch.randn(1, 16)}, rounds=rounds, repeats=max(1, 2000 // count))
    model = fusionkit.build("organs").eval()
    inputs = {"cube": torch.randn(16, 1, 9, 9, 9), "place": torch.randn(16, 3)}
    compare("organs, batch 16", HandOrgans(model).eval(), model, inputs, rounds=rounds, repeats=5)


if __name__ == "__main__":
    main()
