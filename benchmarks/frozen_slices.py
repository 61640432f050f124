"""`fusionkit compare` behind a frozen encoder of pictures over the slices of a volume: each slice is encoded once.

Run: python benchmarks/frozen_slices.py [--cases 100] [--slices 48] [--size 64] [--folds 5] [--epochs 5] [--alone 1].
Three fusions of the slices and a table are compared over the folds with the features of frozen nodes kept (`--reuse
features`), and with nothing reused. Printed are the slices that the encoder was given, counted at its forward, the
seconds of training and of all of it, their ratios, and the largest difference of a weight. With features kept, a slice
is encoded once for all networks, folds and epochs, and those of eight cases again, to hold them against what is kept.

With nothing reused every training takes as long as any other, since all encode the same cases: `--alone` of them are
measured, those of the first fusions in the first fold, and the printed seconds are theirs times the number of all
trainings, fusions times folds, by their number. `--alone 0` measures all. Seconds are those of the processor, with one
thread, so that other work on the machine counts little. Data are random: what is measured is time.
"""

from __future__ import annotations

import argparse
import csv
import tempfile
import time
from pathlib import Path
from typing import Any
from unittest import mock
from weakref import WeakSet

import numpy as np
import torch
from compare import compare
from safetensors.torch import load_file
from torch import nn

from fusionkit.comparison.candidates import plan_comparison
from fusionkit.network.model import FusionModel
from fusionkit.registry.lookup import discover

FUSIONS = ("concat", "gmu{width: 32}", "lmf")
GRAPH = """\
fusionkit: 1
name: frozen-slices
inputs: {{ct: {{volume: [1, {slices}, {size}, {size}]}}, clinic: {{vector: [3]}}}}
nodes:
  seen:
    use: encoder.each_slice
    from: ct
    freeze: true
    with: {{encoder: {{use: encoder.timm, with: {{model: resnet18}}}}}}
  scan: {{use: fusion.attention_pool, from: seen}}
  table: {{use: encoder.mlp, from: clinic, with: {{width: 16}}}}
  both: {{use: fusion.concat, from: [scan, table]}}
  kind: {{use: head.classify, from: both, with: {{classes: [a, b]}}}}
training: {{epochs: {epochs}, batch_size: 16, device: cpu, threads: 1, hold_out: 0.2}}
"""
DATA = """\
fusionkit-data: 1
cases: cases.csv
id: id
split: {{folds: {folds}}}
inputs:
  ct: {{read: numpy, path: "{{id}}.npy"}}
  clinic: {{read: columns, numeric: [x, y, z]}}
targets: {{kind: {{column: kind}}}}
"""


def write_study(folder: Path, args: argparse.Namespace) -> None:
    """Random volumes and a random table."""
    generator = np.random.default_rng(0)
    with (folder / "cases.csv").open("w", newline="") as stream:
        sheet = csv.writer(stream)
        sheet.writerow(["id", "kind", "x", "y", "z"])
        for case in range(args.cases):
            sheet.writerow([f"c{case}", "ab"[case % 3 % 2], *generator.normal(size=3).round(3)])
            volume = generator.normal(size=(1, args.slices, args.size, args.size))
            np.save(folder / f"c{case}.npy", volume.astype(np.float32))
    (folder / "data.yaml").write_text(DATA.format(folds=args.folds))
    (folder / "graph.yaml").write_text(GRAPH.format(slices=args.slices, size=args.size, epochs=args.epochs))


class Counter:
    """Counts the pictures that reach networks of timm."""

    def __init__(self) -> None:
        self.pictures = 0
        self.counted: WeakSet[nn.Module] = WeakSet()

    def watched(self, build: Any) -> Any:
        """A constructor of networks whose encoders of pictures are counted."""
        def building(network: FusionModel, *args: Any, **options: Any) -> None:
            build(network, *args, **options)
            for module in network.modules():
                # Networks that share an encoder are built around the same module.
                if type(module).__module__.startswith("timm.models") and hasattr(module, "forward_features") \
                        and module not in self.counted:
                    self.counted.add(module)
                    module.register_forward_pre_hook(self._count)
        return building

    def _count(self, module: Any, given: Any) -> None:
        if given[0].device.type != "meta":
            self.pictures += len(given[0])


def largest_difference(one: Path, other: Path) -> float:
    """Between weights of the same name in two folders of runs; the second may have the first fold alone."""
    found = 0.0
    for file in other.rglob("model.safetensors"):
        place = file.relative_to(other)
        mine = load_file(one / place if (one / place).is_file() else one / place.parent / "fold-0" / place.name)
        theirs = load_file(file)
        found = max(found, *(float((mine[name].double() - theirs[name].double()).abs().max()) for name in theirs))
    return found


def measure(study: Path, way: str, count: int, fold: int | None) -> tuple[int, float, float]:
    """The slices encoded by a comparison of so many fusions, the seconds of training, and of all of it."""
    comparison = plan_comparison(str(study / "graph.yaml"), str(study / "data.yaml"), [], "both",
                                 ",".join(f"fusion.{name}" for name in FUSIONS[:count]), registry=discover(),
                                 flags={} if fold is None else {"fold": fold}, singles=False)
    assert len(comparison.candidates) == count
    counter = Counter()
    with mock.patch.object(FusionModel, "__init__", counter.watched(FusionModel.__init__)), \
            mock.patch("compare.time.perf_counter", time.process_time):
        trained, whole = compare(comparison, study / way, study / "data.yaml", way)
    return counter.pictures, trained, whole


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    for name, default in (("cases", 100), ("slices", 48), ("size", 64), ("folds", 5), ("epochs", 5), ("alone", 1)):
        parser.add_argument(f"--{name}", type=int, default=default)
    args = parser.parse_args()
    if args.alone not in range(len(FUSIONS) + 1):
        parser.error(f"--alone is 0, for all, or up to {len(FUSIONS)}")
    torch.set_num_threads(1)
    every = len(FUSIONS) * args.folds
    with tempfile.TemporaryDirectory() as place:
        study = Path(place)
        write_study(study, args)
        print(f"{len(FUSIONS)} fusions, {args.cases} cases of {args.slices} slices of {args.size}x{args.size}, "
              f"{args.folds} folds, {args.epochs} epochs, torch {torch.__version__}, one thread", flush=True)
        encoded, trained, whole = measure(study, "features", len(FUSIONS), None)
        print(f"  --reuse features: {encoded:,} slices encoded, of {args.cases * args.slices:,} that there are; "
              f"training {trained:.1f} s, with reading, tests and reports {whole:.1f} s", flush=True)
        found = measure(study, "nothing", args.alone or len(FUSIONS), 0 if args.alone else None)
        times = every / args.alone if args.alone else 1
        if args.alone:
            print(f"  --reuse nothing, {args.alone} of {every} trainings: {found[0]:,} slices encoded; training "
                  f"{found[1]:.1f} s, with reading, tests and reports {found[2]:.1f} s; times {times:g}:")
        slices, trained_alone, whole_alone = (part * times for part in found)
        print(f"  --reuse nothing: {slices:,.0f} slices encoded; training {trained_alone:.1f} s, with reading, tests "
              f"and reports {whole_alone:.1f} s", flush=True)
        print(f"training is {trained_alone / trained:.1f} times faster, all of it {whole_alone / whole:.1f} times; "
              f"weights differ by {largest_difference(study / 'features' / 'runs', study / 'nothing' / 'runs'):.1g} "
              "at most")


if __name__ == "__main__":
    main()
