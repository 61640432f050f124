"""Masked tokens against dense ones: time for each token that is real, forward and backward, in turns on one thread.

Run: python benchmarks/masked_tokens.py [--rounds 15]. Bags of 1 to 400 vectors, in random batches and in batches by
length, against a network of the same layers on 200 vectors for every case. Prints medians of nanoseconds for each real
token, their ratio to dense, and the share of padding.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

import fusionkit
from fusionkit.network.model import FusionModel
from fusionkit.training.batch_order import Batches, by_length

CASES, SIZE, MOST, WIDTH = 640, 16, 400, 64


def network(tokens: int | None) -> FusionModel:
    """Layers for each token, gated attention pooling, a head."""
    return fusionkit.build({"fusionkit": 1, "inputs": {"bag": {"tokens": [tokens, WIDTH]}}, "nodes": {
        "parts": {"use": "encoder.mlp", "from": "bag", "with": {"width": 256, "hidden": [256]}},
        "whole": {"use": "fusion.attention_pool", "from": "parts"},
        "result": {"use": "head.classify", "from": "whole", "with": {"classes": ["no", "yes"]}}}})


def batch_of(counts: Sequence[int]) -> tuple[Tensor, Tensor]:
    """Random tokens (B, N, c) and their mask (B, N)."""
    most = max(counts)
    return torch.randn(len(counts), most, WIDTH), torch.arange(most) < torch.tensor(counts)[:, None]


def seconds(model: FusionModel, batches: Sequence[tuple[Tensor, Tensor | None]]) -> float:
    """The time of a forward and a backward pass over some batches."""
    start = time.process_time()
    for tokens, mask in batches:
        model({"bag": tokens}, None, None if mask is None else {"bag": mask})["result"].square().mean().backward()
    return time.process_time() - start


def main() -> None:
    """Print the times."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=15)
    rounds = parser.parse_args().rounds
    torch.set_num_threads(1)
    torch.manual_seed(0)
    counts = np.random.default_rng(0).integers(1, MOST + 1, CASES)
    plain = Batches(lambda generator: generator.permutation(CASES), CASES, SIZE)
    arranged = Batches(by_length(plain.order, counts, plain.sizes), CASES, SIZE)
    dense: list[tuple[Tensor, Tensor | None]] = [(torch.randn(SIZE, MOST // 2, WIDTH), None)
                                                 for _ in range(CASES // SIZE)]
    ways: dict[str, tuple[FusionModel, list[tuple[Tensor, Tensor | None]]]] = {"dense": (network(MOST // 2), dense)}
    masked = network(None)
    for name, order in (("random", plain), ("by length", arranged)):
        ways[name] = (masked, [batch_of(counts[places].tolist()) for places in order])
    times: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(rounds):
        for name, (model, batches) in ways.items():
            real = sum(int(tokens.shape[0] * tokens.shape[1]) if mask is None else int(mask.sum())
                       for tokens, mask in batches)
            times[name].append(seconds(model, batches) / real * 1e9)
    for name, (_, batches) in ways.items():
        positions = sum(tokens.shape[0] * tokens.shape[1] for tokens, _ in batches)
        real = sum(tokens.shape[0] * tokens.shape[1] if mask is None else int(mask.sum()) for tokens, mask in batches)
        ratio = statistics.median(one / other for one, other in zip(times[name], times["dense"], strict=True))
        print(f"{name:10} {statistics.median(times[name]):8.0f} ns a token, {ratio:.2f} of dense, "
              f"{1 - real / positions:.0%} padding")


if __name__ == "__main__":
    main()
