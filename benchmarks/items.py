"""Items of cases against one big batch of the same images: time for each image, in turns on one thread.

Run: python benchmarks/items.py [--rounds 9]. Cases of 1 to 12 images each, padded to the most of their batch, through
`encoder.each_item`, against its encoder on all of these images at once. Prints medians of milliseconds for each image,
and the ratio to the big batch, for evaluation and for training (forward and backward).
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn

import fusionkit

CASES, MOST, SIDE = 16, 12, 64


def network() -> nn.Module:
    """Each image to a token, a mean over tokens, a head."""
    return fusionkit.build({"fusionkit": 1, "inputs": {"images": {"items": {"image": [3, SIDE, SIDE]}, "max": MOST}},
                            "nodes": {
        "each": {"use": "encoder.each_item", "from": "images", "with": {"encoder": {"use": "encoder.conv", "with": {
            "widths": [16, 32], "output": "pooled"}}}},
        "whole": {"use": "encoder.pool", "from": "each"},
        "result": {"use": "head.classify", "from": "whole", "with": {"classes": ["no", "yes"]}}}})


def seconds(run: Callable[[], Tensor], training: bool) -> float:
    """The time of a pass, in training with the way back."""
    start = time.process_time()
    with torch.set_grad_enabled(training):
        result = run()
    if training:
        result.square().mean().backward()  # type: ignore[no-untyped-call]
    return time.process_time() - start


def compared(ways: dict[str, Callable[[], Tensor]], training: bool, rounds: int) -> dict[str, list[float]]:
    """Seconds of every way, one after the other in every round."""
    for run in ways.values():
        seconds(run, training)
    times: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(rounds):
        for name, run in ways.items():
            times[name].append(seconds(run, training))
    return times


def padded(images: Tensor, counts: Sequence[int]) -> tuple[Tensor, Tensor]:
    """The images (M, 3, h, w) as items of cases (B, N, 3, h, w), and their mask (B, N)."""
    valid = torch.arange(max(counts)) < torch.tensor(counts)[:, None]
    items = images.new_zeros(len(counts), max(counts), *images.shape[1:])
    items[valid] = images
    return items, valid


def main() -> None:
    """Print the times."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=9)
    rounds = parser.parse_args().rounds
    torch.set_num_threads(1)
    torch.manual_seed(0)
    counts = torch.randint(1, MOST + 1, (CASES,)).tolist()
    images = torch.randn(sum(counts), 3, SIDE, SIDE)
    items, valid = padded(images, counts)
    model = network()
    encoder = model.get_submodule("each.encoder")
    ways: dict[str, Callable[[], Tensor]] = {
        "big batch": lambda: encoder(images),
        "items": lambda: model({"images": items}, None, {"images": valid})["result"]}
    for training in (False, True):
        model.train(training)
        times = compared(ways, training, rounds)
        for name, taken in times.items():
            ratio = statistics.median(one / other for one, other in zip(taken, times["big batch"], strict=True))
            print(f"{'training' if training else 'evaluation':10} {name:10} "
                  f"{statistics.median(taken) / len(images) * 1e3:7.2f} ms an image, {ratio:.2f} of the big batch")


if __name__ == "__main__":
    main()
