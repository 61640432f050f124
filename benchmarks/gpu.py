"""How fast published networks run on a GPU, in at most eight minutes: send back the JSON that it writes.

Run: python benchmarks/gpu.py [--out gpu.json] [--minutes 8] [--tests] [--small] [--device cpu]

For each network: a training step and a prediction in samples per second, eager, compiled, in bfloat16 and with channels
innermost, and the share of the device's peak that the multiply-adds of forward and backward come to; Monte Carlo
samples; augmentation; a training step with data loading and without (cases read by processes, copied ahead); the peak
of memory against the forecast. `--tests` first runs the tests that need a GPU. What there is no time for, or fails, is
named in the JSON. `--small` takes small inputs and few rounds, for a CPU, on which the numbers mean nothing.
"""

from __future__ import annotations

import argparse
import json
import platform
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch.utils.data import DataLoader, Dataset

import fusionkit
from fusionkit.components.transform import Transform
from fusionkit.data.augmentation import Augmentation
from fusionkit.data.batch import Batch, Case, collate
from fusionkit.errors import Span
from fusionkit.inference.sampler import Sampler
from fusionkit.network.model import FusionModel
from fusionkit.registry.lookup import discover
from fusionkit.registry.named import component_named
from fusionkit.training.augmented import Augmented
from fusionkit.training.estimate import estimate
from fusionkit.training.objective import Objective, arguments, lay_out, lay_out_weights
from fusionkit.training.settings import TrainingSettings

GRAPHS = {"mmcaf-net": 4, "drifa-net": 16, "multifusionnet": 16, "organs": 64}
SMALL = ("organs",)
WAYS: Mapping[str, Mapping[str, bool]] = {
    "eager": {}, "channels-last": {"last": True}, "bf16": {"half": True},
    "bf16, channels-last": {"half": True, "last": True}, "compiled": {"compile": True},
    "compiled, bf16": {"compile": True, "half": True}}
TRANSFORMS = ("rotate", "zoom", "shift", "flip", "noise", "blur", "gamma", "contrast", "brightness")
PEAKS = {"H200": (67e12, 989e12), "H100": (67e12, 989e12), "A100": (19.5e12, 312e12), "L40S": (91.6e12, 362e12),
         "L4": (30.3e12, 121e12), "T4": (8.1e12, 65e12), "V100": (15.7e12, 125e12), "RTX 4090": (82.6e12, 165e12),
         "RTX 3090": (35.6e12, 71e12)}
"""FLOP/s in float32 without tensor cores and in bfloat16 (float16 of T4 and V100), dense, by the data sheets."""
ROUNDS, WARM = 7, 3


@dataclass
class Report:
    """What was measured, and what could not be."""

    device: str
    small: bool
    until: float
    rows: list[dict[str, Any]] = field(default_factory=list)
    failed: dict[str, str] = field(default_factory=dict)

    def measure(self, name: str, run: Callable[[], dict[str, Any]]) -> None:
        """Add a row, unless the time is over or it fails."""
        if time.monotonic() > self.until:
            self.failed[name] = "no time was left"
            return
        try:
            self.rows.append({"what": name, **run()})
        except Exception as error:
            self.failed[name] = f"{type(error).__name__}: {error}".partition("\n")[0]
        if self.device == "cuda":
            torch.cuda.empty_cache()


def case_of(network: FusionModel, seed: int) -> Case:
    """Random numbers for every input, and a target for every head."""
    random = torch.Generator().manual_seed(seed)
    targets = {head.name: torch.randint(len(head.names), (), generator=random) for head in network.plan.heads}
    return {"index": seed, "inputs": {value.name: torch.randn(*value.shape.carried, generator=random)
                                      for value in network.plan.inputs},
            "present": {value.name: True for value in network.plan.inputs}, "targets": targets,
            "target_present": dict.fromkeys(targets, True)}


class Cases(Dataset[Case]):
    """As many cases as asked for, made when they are read."""

    def __init__(self, network: FusionModel, count: int) -> None:
        self.made = [case_of(network, seed) for seed in range(min(count, 32))]
        self.count = count

    def __len__(self) -> int:
        return self.count

    def __getitem__(self, place: int) -> Case:
        case = self.made[place % len(self.made)]
        return {**case, "inputs": {name: value.clone() for name, value in case["inputs"].items()}}


def seconds(call: Callable[[], object], device: str, rounds: int) -> list[float]:
    """The time of each of some calls, after a few that are not counted."""
    found = []
    for number in range(rounds + WARM):
        if device == "cuda":
            torch.cuda.synchronize()
        start = time.perf_counter()
        call()
        if device == "cuda":
            torch.cuda.synchronize()
        if number >= WARM:
            found.append(time.perf_counter() - start)
    return found


def rate(batch: int, times: list[float]) -> dict[str, float]:
    """Samples per second: the median of the rounds and their quartiles."""
    low, middle, high = statistics.quantiles([batch / each for each in times], n=4)
    return {"samples_per_second": middle, "low": low, "high": high}


def stepping(network: FusionModel, batch: Batch, device: str, *, half: bool = False, last: bool = False,
             compile: bool = False) -> Callable[[], object]:
    """A training step: forward, losses, backward and the update of the weights."""
    network = network.to(device).train()
    if last:
        lay_out_weights(network)
        batch.inputs.update({name: lay_out(value) for name, value in batch.inputs.items()})
    objective = Objective(network)
    if compile:
        objective.compile()
    optimiser = torch.optim.AdamW(network.parameters(), lr=1e-4)

    def step() -> None:
        with torch.autocast(device, torch.bfloat16, enabled=half):
            results = objective(*arguments(network, batch))
        torch.stack([value for value in results.values() if not value.dim()]).sum().backward()
        optimiser.step()
        optimiser.zero_grad()

    return step


def share_of_peak(network: FusionModel, per_second: float, half: bool, backward: bool) -> float | None:
    """The multiply-adds of a network in a second over what the device can do; forward and backward are three forwards.
    """
    name = torch.cuda.get_device_name() if torch.cuda.is_available() else ""
    peak = next((both[half] for part, both in PEAKS.items() if part in name), None)
    total = network.plan.total
    if peak is None or total is None:
        return None
    return 2.0 * total.multiply_adds * per_second * (3 if backward else 1) / peak


def of_network(report: Report, name: str, rounds: int) -> None:
    """All measurements of one network."""
    device, size = report.device, 5 if report.small else GRAPHS[name]
    plan = fusionkit.plan(name)

    def fresh() -> tuple[FusionModel, Batch]:
        network = fusionkit.build(plan)
        return network, collate([case_of(network, seed) for seed in range(size)]).to(device)

    def step(way: Mapping[str, bool]) -> dict[str, Any]:
        network, batch = fresh()
        if device == "cuda":
            torch.cuda.reset_peak_memory_stats()
        found = rate(size, seconds(stepping(network, batch, device, **way), device, rounds))
        share = share_of_peak(network, found["samples_per_second"], way.get("half", False), True)
        return found | {"batch": size, "share_of_peak": share} | memory(network, size, way.get("half", False), device)

    def forward(way: Mapping[str, bool]) -> dict[str, Any]:
        network, batch = fresh()
        network = network.to(device).eval()
        called = torch.compile(network) if way.get("compile") else network

        def call() -> None:
            with torch.inference_mode(), torch.autocast(device, torch.bfloat16, enabled=way.get("half", False)):
                called(batch.inputs)

        found = rate(size, seconds(call, device, rounds))
        share = share_of_peak(network, found["samples_per_second"], way.get("half", False), False)
        return found | {"batch": size, "share_of_peak": share}

    for label, way in WAYS.items():
        if not (report.small and way.get("compile")):
            report.measure(f"{name}: training step, {label}", lambda way=way: step(way))
    for label, way in WAYS.items():
        if not way.get("last") and not (report.small and way.get("compile")):
            report.measure(f"{name}: prediction, {label}", lambda way=way: forward(way))
    report.measure(f"{name}: 20 Monte Carlo samples", lambda: samples(*fresh(), device, rounds))
    report.measure(f"{name}: training step with data loading", lambda: loading(fresh()[0], size, device, rounds))


def memory(network: FusionModel, size: int, half: bool, device: str) -> dict[str, Any]:
    """The peak of memory of a training step, and what `train` would have said."""
    if device != "cuda":
        return {}
    settings = TrainingSettings(batch_size=size, precision="bf16" if half else "fp32")
    forecast = estimate(network.plan, settings, size).memory_bytes
    return {"memory": torch.cuda.max_memory_allocated(), "forecast": forecast}


def samples(network: FusionModel, batch: Batch, device: str, rounds: int) -> dict[str, Any]:
    """Monte Carlo dropout, samples drawn together: those of all cases in a second."""
    network = network.to(device).eval()
    sampler, count = Sampler(network, 2**30), 20

    def call() -> None:
        with torch.inference_mode():
            for _ in sampler.run(batch.inputs, batch.masks).samples(count):
                pass

    return rate(len(batch) * count, seconds(call, device, max(2, rounds // 2))) | {"batch": len(batch)}


def loading(network: FusionModel, size: int, device: str, rounds: int) -> dict[str, Any]:
    """Training steps on batches that processes read and that are copied from page-locked memory."""
    workers = 0 if device == "cpu" else 4
    loader = DataLoader(Cases(network, size * (rounds + WARM)), size, collate_fn=collate, num_workers=workers,
                        pin_memory=device == "cuda")
    network, batches = network.to(device), iter(loader)
    objective = Objective(network.train())
    optimiser = torch.optim.AdamW(network.parameters(), lr=1e-4)

    def step() -> None:
        batch = next(batches).to(device, non_blocking=True)
        results = objective(*arguments(network, batch))
        torch.stack([value for value in results.values() if not value.dim()]).sum().backward()
        optimiser.step()
        optimiser.zero_grad()

    return rate(size, seconds(step, device, rounds)) | {"batch": size, "workers": workers}


def augmentation(device: str, small: bool, rounds: int) -> dict[str, Any]:
    """Volumes changed on the device, all transforms for every case."""
    size, count = (1, 7, 19, 23) if small else (1, 64, 128, 128), 3 if small else 8
    several = tuple(component_named(f"transform.{name}", None, discover(), Span("gpu", 1, 1), Transform)
                    for name in TRANSFORMS)
    made = Augmented(Augmentation({"x": several}), [str(case) for case in range(count)], {}, seed=0)
    there = torch.ones(count, dtype=torch.bool)
    batch = Batch({"x": torch.rand(count, *size)}, {"x": there}, {}, {}, torch.arange(count)).to(device)
    epochs: Iterator[int] = iter(range(10**6))
    return rate(count, seconds(lambda: made(batch, next(epochs)), device, rounds)) | {"batch": count,
                                                                                      "size": list(size)}


def gpu_tests(seconds_left: float) -> dict[str, Any]:
    """The tests that need a GPU."""
    command = [sys.executable, "-m", "pytest", "-q", "-m", "gpu", "--full", "-p", "no:cacheprovider"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=seconds_left, check=False,
                          cwd=Path(__file__).parent.parent)
    return {"returned": done.returncode, "last_lines": done.stdout.splitlines()[-20:]}


def main(arguments_given: list[str] | None = None) -> dict[str, Any]:
    """Measure, print a table, write and return the JSON."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--out", type=Path, default=Path("gpu.json"))
    parser.add_argument("--minutes", type=float, default=8.0)
    parser.add_argument("--device", choices=["cuda", "cpu"], default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--tests", action="store_true")
    parser.add_argument("--small", action="store_true")
    args = parser.parse_args(arguments_given)
    start = time.monotonic()
    report = Report(args.device, args.small, start + 60 * args.minutes - (0 if args.small else 40))
    rounds = 3 if args.small else ROUNDS
    if args.tests and args.device == "cuda":
        report.measure("tests that need a GPU", lambda: gpu_tests(60 * args.minutes / 2))
    report.measure("augmentation on the device", lambda: augmentation(args.device, args.small, rounds))
    for name in SMALL if args.small else GRAPHS:
        of_network(report, name, rounds)
    found = {
        "device": torch.cuda.get_device_name() if args.device == "cuda" else platform.processor() or "cpu",
        "torch": torch.__version__, "fusionkit": fusionkit.__version__, "small": args.small,
        "minutes": (time.monotonic() - start) / 60, "rows": report.rows, "failed": report.failed}
    args.out.write_text(json.dumps(found, indent=1), encoding="utf-8")
    show(found)
    return found


def show(found: Mapping[str, Any]) -> None:
    """The rows as a table."""
    print(f"{found['device']}, torch {found['torch']}")
    for row in found["rows"]:
        per_second, share = row.get("samples_per_second"), row.get("share_of_peak")
        numbers = "" if per_second is None else f"{per_second:10.1f} [{row['low']:.1f}, {row['high']:.1f}] samples/s"
        numbers += "" if share is None else f", {100 * share:.1f} % of the peak"
        numbers += f", {row['memory'] / 1e9:.2f} GB of {row['forecast'] / 1e9:.2f} foreseen" if "memory" in row else ""
        print(f"{row['what']:52}{numbers}")
    for name, why in found["failed"].items():
        print(f"{name:52}{why}")


if __name__ == "__main__":
    main()
