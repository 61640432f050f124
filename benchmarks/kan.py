"""One layer of `encoder.kan` against pykan's KANLayer: a training step, forward and backward to inputs and parameters.

Run: python benchmarks/kan.py [--rounds 7] [--sizes small middle large]. pykan has to be importable: it may be installed
beside everything else (`pip install --target FOLDER --no-deps pykan`, then what it asks for) and PYTHONPATH set to it.

Prints for each size the median of the rounds' ratios pykan / ours with its quartiles, the same for pykan against
itself and for a basis by recursion with one matrix product and plain autograd (the form that efficient-kan has); then
the difference of the results in float64, and what each keeps for backward besides inputs, parameters, buffers.
"""

from __future__ import annotations

import argparse
import os
import random
import statistics
import sys
import time
import warnings
from collections.abc import Callable
from pathlib import Path

import torch
from fusionkit_plugins.blocks.spline_product import BASES, Expansion
from fusionkit_plugins.blocks.splines import Recursion
from fusionkit_plugins.encoders.kan import KANConfig, KANLayer
from torch import Tensor, nn

SIZES = {"small": (256, 7, 24, 3.0), "middle": (4096, 64, 64, 12.0), "large": (1024, 512, 512, 30.0)}
REPEATS = {"small": 100, "middle": 1, "large": 1}


def layers(inputs: int, outputs: int) -> tuple[nn.Module, KANLayer]:
    """pykan's layer, and ours with the same numbers."""
    # This file has the name of pykan's package, and its folder comes first where modules are looked for.
    own = Path(__file__).resolve().parent
    sys.path[:] = [place for place in sys.path if Path(place).resolve() != own]
    from kan import KANLayer as TheirLayer

    theirs = TheirLayer(inputs, outputs)
    ours = KANLayer(KANConfig(width=outputs), inputs, outputs)
    with torch.no_grad():
        ours.coef.copy_(theirs.coef.permute(2, 0, 1))
        ours.scale_sp.copy_(theirs.scale_sp)
        ours.scale_base.copy_(theirs.scale_base)
    return theirs, ours


class Recursive(nn.Module):
    """Our layer with the basis by recursion, differentiated by autograd operation by operation."""

    def __init__(self, layer: KANLayer) -> None:
        super().__init__()
        self.layer = layer

    def forward(self, x: Tensor) -> Tensor:
        layer = self.layer
        matrix = torch.cat([layer.coef * layer.scale_sp, layer.scale_base.unsqueeze(0)]).flatten(0, 1)
        return Expansion(Recursion(layer.grid.t(), 3), "zero", BASES["silu"]).row(x).flatten(1) @ matrix


def first(result: Tensor | tuple[Tensor, ...]) -> Tensor:
    return result if isinstance(result, Tensor) else result[0]


def step(layer: nn.Module, x: Tensor, direction: Tensor, repeats: int) -> float:
    start = time.process_time()
    for _ in range(repeats):
        x.grad = None
        layer.zero_grad(set_to_none=True)
        first(layer(x)).backward(direction)
    return (time.process_time() - start) / repeats


def kept_bytes(layer: nn.Module, x: Tensor) -> int:
    """What a forward pass keeps for backward, counted once each, without what exists anyway."""
    there = {part.untyped_storage().data_ptr() for part in (*layer.parameters(), *layer.buffers(), x)}
    sizes: dict[int, int] = {}

    def keep(part: Tensor) -> Tensor:
        storage = part.untyped_storage()
        if storage.data_ptr() not in there:
            sizes[storage.data_ptr()] = storage.nbytes()
        return part

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda part: part):
        result = first(layer(x))
    del result
    return sum(sizes.values())


def difference(theirs: nn.Module, ours: KANLayer, x: Tensor) -> float:
    """The largest difference of the results in float64, far outside the grid included."""
    theirs, ours = theirs.double(), ours.double()
    wide = 4 * torch.rand(64, x.shape[1], dtype=torch.float64) - 2
    with torch.no_grad():
        theirs.grid.data.copy_(ours.grid)
        found = float((first(theirs(wide)) - ours(wide)).abs().max())
    theirs.float()
    ours.float()
    return found


def compare(name: str, rounds: int) -> None:
    batch, inputs, outputs, goal = SIZES[name]
    theirs, ours = layers(inputs, outputs)
    recursive = Recursive(ours)
    x, direction = torch.randn(batch, inputs, requires_grad=True), torch.randn(batch, outputs)
    calls: dict[str, Callable[[], float]] = {
        "pykan": lambda: step(theirs, x, direction, REPEATS[name]),
        "again": lambda: step(theirs, x, direction, REPEATS[name]),
        "recursion": lambda: step(recursive, x, direction, REPEATS[name]),
        "ours": lambda: step(ours, x, direction, REPEATS[name])}
    for label in ("pykan", "recursion", "ours"):
        calls[label]()
    times: dict[str, list[float]] = {label: [] for label in calls}
    for _ in range(rounds):
        for label in random.sample(list(calls), len(calls)):
            times[label].append(calls[label]())
    print(f"batch {batch}, {inputs} to {outputs}; goal {goal:.0f}")
    for label in ("ours", "recursion", "again"):
        ratios = [one / other for one, other in zip(times["pykan"], times[label], strict=True)]
        low, middle, high = statistics.quantiles(ratios, n=4)
        print(f"  pykan / {label:9} {middle:6.2f} [{low:.2f}, {high:.2f}]   "
              f"{1000 * statistics.median(times['pykan']):9.2f} ms / {1000 * statistics.median(times[label]):9.2f} ms")
    ratios = [one / other for one, other in zip(times["recursion"], times["ours"], strict=True)]
    low, middle, high = statistics.quantiles(ratios, n=4)
    print(f"  recursion / ours  {middle:6.2f} [{low:.2f}, {high:.2f}]")
    kept = kept_bytes(theirs, x), kept_bytes(ours, x)
    print(f"  kept for backward {kept[0] / 1e6:.2f} MB / {kept[1] / 1e6:.3f} MB = {kept[0] / max(kept[1], 1):.0f}")
    print(f"  largest difference in float64 {difference(theirs, ours, x):.1e}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--sizes", nargs="+", choices=list(SIZES), default=list(SIZES))
    args = parser.parse_args()
    torch.set_num_threads(1)
    torch.manual_seed(0)
    # Normal data lie outside the grid in part, which both layers meet alike.
    warnings.filterwarnings("ignore")
    print(f"torch {torch.__version__}, 1 thread, load {os.getloadavg()[0]:.1f}, {args.rounds} rounds, CPU time")
    for name in args.sizes:
        compare(name, args.rounds)


if __name__ == "__main__":
    main()
