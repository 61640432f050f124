"""`fusionkit.optimize` on the depthwise convolution fusion block: forward time, plain and rewritten side by side.

Run: python benchmarks/dcfb.py [--rounds 21] [--sizes 256 6 48 48 | --pyramid]. One thread. Each round times the block,
the block again and its optimised copy once each in random order, by the process's own time. Prints the median of the
rounds' ratios plain / optimised (larger means that the copy is faster) with quartiles, the same for the block against
itself, and the largest difference of the results, also as a part of the largest result. With --pyramid the same for
the whole of `encoder.e3d_msca` on the maps that PENet gives for a CT of 12 x 192 x 192.
"""

from __future__ import annotations

import argparse
import platform
import random
import statistics
import time
from collections.abc import Callable, Sequence

import torch
from fusionkit_plugins.encoders import dcfb, e3d_msca
from torch import Tensor, nn

import fusionkit
from fusionkit.api import Encoder, shape_of

PYRAMID = ((256, 6, 48, 48), (512, 3, 24, 24), (1024, 2, 12, 12))


def made(component: Encoder, sizes: Sequence[Sequence[int]]) -> nn.Module:
    """A component's module with its default options, with weights and statistics as if it had been trained."""
    torch.manual_seed(0)
    module = component.module(component.config(), [shape_of(tuple(one)) for one in sizes])
    with torch.no_grad():
        for part in module.modules():
            if isinstance(part, nn.Conv2d | nn.Conv3d):
                part.weight.normal_(std=part.weight[0].numel() ** -0.5)
            elif isinstance(part, nn.BatchNorm2d | nn.BatchNorm3d):
                part.weight.normal_(1, 0.1)
                part.bias.normal_(0, 0.1)
                part.running_mean.normal_(0, 0.1)
                part.running_var.uniform_(0.5, 2)
    return module.eval()


def seconds(call: Callable[[], object]) -> float:
    start = time.process_time()
    call()
    return time.process_time() - start


def compare(plain: nn.Module, inputs: Sequence[Tensor], rounds: int) -> None:
    optimised = fusionkit.optimize(plain)
    calls = {"plain": lambda: plain(*inputs), "again": lambda: plain(*inputs), "optimised": lambda: optimised(*inputs)}
    took: dict[str, list[float]] = {name: [] for name in calls}
    with torch.inference_mode():
        wanted, found = plain(*inputs), optimised(*inputs)
        for _ in range(rounds):
            for name in random.sample(list(calls), len(calls)):
                took[name].append(seconds(calls[name]))
    for name in ("again", "optimised"):
        ratios = [before / after for before, after in zip(took["plain"], took[name], strict=True)]
        low, middle, high = statistics.quantiles(ratios, n=4)
        label = "control" if name == "again" else "optimised"
        print(f"{label:10} {middle:.2f} [{low:.2f}, {high:.2f}]   {1e3 * statistics.median(took[name]):.0f} ms "
              f"against {1e3 * statistics.median(took['plain']):.0f} ms")
    apart = float((wanted - found).abs().max())
    print(f"difference {apart:.1e}, of the largest result {apart / float(wanted.abs().max()):.1e}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=21)
    parser.add_argument("--sizes", type=int, nargs="+", default=[256, 6, 48, 48], help="channels and grid")
    parser.add_argument("--pyramid", action="store_true", help="time encoder.e3d_msca instead of its block")
    options = parser.parse_args()
    component, sizes = (e3d_msca.component, PYRAMID) if options.pyramid else (dcfb.component, [options.sizes])
    torch.set_num_threads(1)
    shapes = "; ".join("1 " + " ".join(map(str, one)) for one in sizes)
    print(f"torch {torch.__version__}, {platform.machine()}, one thread, {options.rounds} rounds, {component.id} on "
          f"{shapes}; ratio plain / optimised [quartiles]")
    compare(made(component, sizes), [torch.randn(1, *one) for one in sizes], options.rounds)


if __name__ == "__main__":
    main()
