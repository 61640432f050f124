"""`fusionkit compare`: ten fusions behind two frozen ResNet18, each trained alone, and with the encoders shared.

Run: python benchmarks/compare.py [--rounds 3] [--cases 192] [--size 128] [--epochs 3]. The same comparison is done in
three ways in every round, in an order that changes: `nothing` (ten separate trainings), `batches` (encoders once for
each batch, as random augmentation would need) and `features` (encoders once for each case, kept on disk). Printed are
the ratios of seconds nothing / other way, for the training of all candidates, and for training and prediction of the
test cases together, as `fusionkit compare` does them: median and range of the rounds. Every file of weights is compared
to the bit; a difference ends the benchmark. Data are random: what is measured is time.
"""

from __future__ import annotations

import argparse
import csv
import random
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from unittest import mock

import numpy as np
import torch

from fusionkit.comparison import shared_training, train
from fusionkit.comparison.candidates import ComparisonPlan, plan_comparison
from fusionkit.comparison.splits import repeated
from fusionkit.registry.lookup import discover
from fusionkit.runs.train import fit as alone

WAYS = ("nothing", "batches", "features")
FUSIONS = ("sum", "mean", "max", "product", "weighted_sum", "gmu{width: 128}", "lmf", "moments", "attention_pool",
           "mfb")
GRAPH = """\
fusionkit: 1
name: comparison
inputs: {{left: {{image: [3, {size}, {size}]}}, right: {{image: [3, {size}, {size}]}}}}
nodes:
  one: {{use: encoder.timm, from: left, freeze: true, with: {{model: resnet18}}}}
  two: {{use: encoder.timm, from: right, freeze: true, with: {{model: resnet18}}}}
  fused: {{use: fusion.{fusion}, from: [one, two]}}
  kind: {{use: head.classify, from: fused, with: {{classes: [a, b]}}}}
training: {{epochs: {epochs}, batch_size: 16, optimiser: adam, device: cpu}}
"""
DATA = """\
fusionkit-data: 1
cases: cases.csv
id: id
split: {column: part}
inputs:
  left: {read: numpy, path: "{id}-left.npy"}
  right: {read: numpy, path: "{id}-right.npy"}
targets: {kind: {column: kind}}
"""


class Silent:
    """A reporter that tells nothing."""

    def line(self, text: str = "") -> None:
        """Nothing."""

    @contextmanager
    def progress(self, label: str) -> Iterator[Callable[[int, int], None]]:
        """A bar that nobody sees."""
        yield lambda done, total: None


def write_study(folder: Path, cases: int, size: int, epochs: int) -> None:
    """Random pairs of images; a tenth of the cases are tested."""
    generator = np.random.default_rng(0)
    with (folder / "cases.csv").open("w", newline="") as stream:
        sheet = csv.writer(stream)
        sheet.writerow(["id", "kind", "part"])
        for case in range(cases):
            sheet.writerow([f"c{case}", "ab"[case % 3 % 2], "test" if case % 10 == 9 else "train"])
            for side in ("left", "right"):
                np.save(folder / f"c{case}-{side}.npy", generator.normal(size=(3, size, size)).astype(np.float32))
    (folder / "data.yaml").write_text(DATA)
    first = FUSIONS[0].partition("{")[0]
    (folder / "graph.yaml").write_text(GRAPH.format(size=size, epochs=epochs, fusion=first))


class Clock:
    """Adds up the seconds of the calls that go through it."""

    def __init__(self) -> None:
        self.seconds = 0.0

    def timed(self, call: Callable[..., object]) -> Callable[..., object]:
        """The same call, timed."""
        def timing(*args: object, **options: object) -> object:
            began = time.perf_counter()
            try:
                return call(*args, **options)
            finally:
                self.seconds += time.perf_counter() - began
        return timing


def compare(comparison: ComparisonPlan, folder: Path, data: Path, way: str) -> tuple[float, float]:
    """Seconds of training, and of all of it, for one comparison."""
    clock = Clock()
    began = time.perf_counter()
    with mock.patch("fusionkit.runs.train.fit", clock.timed(alone)), \
            mock.patch.object(shared_training.SharedTrainer, "train", clock.timed(shared_training.SharedTrainer.train)):
        train.train_all(comparison, repeated(comparison.cohort, 1), folder, data, Silent(),
                        reuse=way)  # type: ignore[arg-type]
    return clock.seconds, time.perf_counter() - began


def check_same(one: Path, other: Path) -> int:
    """How many files of weights are the same in both; ends the program where one differs."""
    files = sorted(one.rglob("model.safetensors"))
    for file in files:
        if file.read_bytes() != (other / file.relative_to(one)).read_bytes():
            raise SystemExit(f"the weights of {file.relative_to(one)} differ from those of {other.name}")
    return len(files)


def told(ratios: list[float]) -> str:
    return f"{statistics.median(ratios):5.1f} [{min(ratios):.1f}, {max(ratios):.1f}]"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    for name, default in (("rounds", 3), ("cases", 192), ("size", 128), ("epochs", 3)):
        parser.add_argument(f"--{name}", type=int, default=default)
    args = parser.parse_args()
    torch.set_num_threads(1)
    seconds: dict[str, list[tuple[float, float]]] = {way: [] for way in WAYS}
    with tempfile.TemporaryDirectory() as place:
        study = Path(place)
        write_study(study, args.cases, args.size, args.epochs)
        data = study / "data.yaml"
        comparison = plan_comparison(str(study / "graph.yaml"), str(data), [], "fused",
                                     ",".join(f"fusion.{f}" for f in FUSIONS),
                                     registry=discover(), flags={}, singles=False)
        print(f"{len(comparison.candidates)} candidates, {args.cases} cases of two {args.size}x{args.size} images, "
              f"{args.epochs} epochs, torch {torch.__version__}, {torch.get_num_threads()} thread")
        for number in range(args.rounds):
            for way in random.sample(WAYS, len(WAYS)):
                folder = study / f"{way}-{number}"
                seconds[way].append(compare(comparison, folder, data, way))
                training, whole = seconds[way][-1]
                print(f"  round {number + 1}, {way}: {training:.1f} s of training, {whole:.1f} s in all", flush=True)
            same = [check_same(study / f"nothing-{number}" / "runs", study / f"{way}-{number}" / "runs")
                    for way in WAYS[1:]]
            print(f"  round {number + 1}: {same[0]} of {same[1]} files of weights are the same to the bit")
    for way in WAYS[1:]:
        pairs = list(zip(seconds["nothing"], seconds[way], strict=True))
        print(f"{way}: training {told([a[0] / b[0] for a, b in pairs])} times faster, "
              f"in all {told([a[1] / b[1] for a, b in pairs])}")


if __name__ == "__main__":
    main()
