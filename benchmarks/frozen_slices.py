"""`fusionkit compare` behind a frozen encoder of pictures over the slices of a volume: each slice is encoded once.

Run: python benchmarks/frozen_slices.py [--cases 100] [--slices 48] [--size 32] [--folds 5] [--epochs 5]. Three fusions
of the slices and a table are compared over the folds, once with the features of frozen nodes kept (`--reuse features`)
and once with nothing reused. Printed are the slices that the encoder was given, counted at its forward, the seconds of
training and of all of it, their ratios, and the largest difference of a weight. With features kept, a slice is encoded
once for all networks, folds and epochs, and those of a few batches again, to compare them with what is kept. Data are
random: what is measured is time.
"""

from __future__ import annotations

import argparse
import csv
import tempfile
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
    """Between weights of the same name in two folders of runs."""
    found = 0.0
    for file in one.rglob("model.safetensors"):
        mine, theirs = load_file(file), load_file(other / file.relative_to(one))
        found = max(found, *(float((mine[name].double() - theirs[name].double()).abs().max()) for name in mine))
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    for name, default in (("cases", 100), ("slices", 48), ("size", 32), ("folds", 5), ("epochs", 5)):
        parser.add_argument(f"--{name}", type=int, default=default)
    args = parser.parse_args()
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as place:
        study = Path(place)
        write_study(study, args)
        data = study / "data.yaml"
        comparison = plan_comparison(str(study / "graph.yaml"), str(data), [], "both",
                                     ",".join(f"fusion.{name}" for name in FUSIONS),
                                     registry=discover(), flags={}, singles=False)
        print(f"{len(comparison.candidates)} fusions, {args.cases} cases of {args.slices} slices of {args.size}x"
              f"{args.size}, {args.folds} folds, {args.epochs} epochs, torch {torch.__version__}, one thread")
        seconds = {}
        for way in ("features", "nothing"):
            counter = Counter()
            with mock.patch.object(FusionModel, "__init__", counter.watched(FusionModel.__init__)):
                seconds[way] = compare(comparison, study / way, data, way)
            trained, whole = seconds[way]
            print(f"  --reuse {way}: {counter.pictures:,} slices encoded; training {trained:.1f} s, with reading, "
                  f"tests and reports {whole:.1f} s", flush=True)
        trained, whole = (slow / fast for slow, fast in zip(seconds["nothing"], seconds["features"], strict=True))
        print(f"training is {trained:.1f} times faster, all of it {whole:.1f} times; weights differ by "
              f"{largest_difference(study / 'features' / 'runs', study / 'nothing' / 'runs'):.1g} at most")


if __name__ == "__main__":
    main()
