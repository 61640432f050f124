"""Parts of benchmarks/training.py that measure whole commands, each in a process of its own, and reading DICOM."""

from __future__ import annotations

import argparse
import os
import shutil
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
from evaluate_run import cpu_seconds, study

from fusionkit.data import case_files
from fusionkit.data.description import describe
from fusionkit.datasets.dicom_writer import write_series
from fusionkit.datasets.phantom_files import write_phantom

FIRST_STEP = """\
import os, sys, time
from fusionkit.cli.parser import main
from fusionkit.training.step import Stepper
change = Stepper.change
def first(self, rate):
    change(self, rate)
    print("SECONDS", time.process_time(), flush=True)
    os._exit(0)
Stepper.change = first
main(sys.argv[1:])
"""
LAST_EPOCH = """\
import sys, time
from fusionkit.cli.parser import main
from fusionkit.runs import train
fit, ended = train.fit, []
def timed(*given, **named):
    made = fit(*given, **named)
    ended.append(time.process_time())
    return made
train.fit = timed
main(sys.argv[1:])
print("SECONDS", time.process_time() - ended[-1], flush=True)
"""
DICOM = """\
fusionkit-data: 1
cases: cases.csv
id: id
split: {folds: 2}
inputs: {ct: {read: dicom, path: "{id}", window: [-1000, 400]}}
targets: {sick: {column: sick}}
"""


def told(program: str, arguments: Sequence[str]) -> float:
    """The seconds that a program prints."""
    made = subprocess.run([sys.executable, "-c", program, *arguments], capture_output=True, text=True, check=False)
    lines = [line for line in made.stdout.splitlines() if line.startswith("SECONDS ")]
    if not lines:
        raise RuntimeError(made.stderr)
    return float(lines[-1].split()[1])


def shown(name: str, seconds: Sequence[float]) -> list[float]:
    """Print the median and the range."""
    print(f"{name:44} {statistics.median(seconds):6.2f} s of processor time "
          f"[{min(seconds):.2f}, {max(seconds):.2f}]", flush=True)
    return list(seconds)


def start(folder: Path, args: argparse.Namespace) -> dict[str, list[float]]:
    """A `train` of a cohort of DICOM series that were read before, until its first step."""
    write_phantom(folder / "phantom", "additive", 30 if args.small else 200)
    command = ["train", "phantom", str(folder / "phantom" / "data.yaml"), "-o"]
    found: dict[str, list[float]] = {"import torch": [], "until the first step": []}
    for number in range(args.rounds + 1):
        torch_alone = cpu_seconds([sys.executable, "-c", "import torch"])
        first = told(FIRST_STEP, [*command, str(folder / f"run-{number}")])
        if number:  # before, the files are read
            found["import torch"].append(torch_alone)
            found["until the first step"].append(first)
    return {name: shown(name, seconds) for name, seconds in found.items()}


def finish(folder: Path, args: argparse.Namespace) -> dict[str, list[float]]:
    """After the last epoch of a `train` with many test cases: predictions, metrics, intervals, files."""
    study(folder, 50 if args.small else 1000)
    found = {}
    for name, more in (("after the last epoch", ()), ("the same with --no-plots", ("--no-plots",))):
        seconds = []
        for _ in range(args.rounds):
            shutil.rmtree(folder / "again", ignore_errors=True)
            seconds.append(told(LAST_EPOCH, ["train", str(folder / "graph.yaml"), str(folder / "data.yaml"), "-o",
                                             str(folder / "again"), *more]))
        found[name] = shown(name, seconds)
    return found


def evaluate(folder: Path, args: argparse.Namespace) -> dict[str, list[float]]:
    """An `evaluate` of many test cases."""
    command = [sys.executable, "-m", "fusionkit", "evaluate", str(study(folder, 50 if args.small else 1000)), "-o",
               str(folder / "out")]
    commands = {"import torch": [sys.executable, "-c", "import torch"], "evaluate": command,
                "evaluate --no-plots": [*command, "--no-plots"]}
    return {name: shown(name, [cpu_seconds(each) for _ in range(args.rounds)]) for name, each in commands.items()}


def dicom(folder: Path, args: argparse.Namespace) -> dict[str, list[float]]:
    """A series into an array, without a cache, and the same from the cache."""
    size = (5, 64, 64) if args.small else (40, 512, 512)
    write_series(folder / "c0", np.random.default_rng(0).integers(-1000, 400, size))
    (folder / "cases.csv").write_text("id,sick\nc0,no\n", encoding="utf-8")
    (folder / "data.yaml").write_text(DICOM, encoding="utf-8")
    spec = describe(folder / "data.yaml").inputs["ct"]
    calls: dict[str, Callable[[], Any]] = {
        "ours": lambda: case_files.load(spec, folder / "c0", None),
        "ours, cached": lambda: case_files.load(spec, folder / "c0", folder / "cache")}
    if find_spec("SimpleITK") is None:
        print("SimpleITK is left out: python -m pip install SimpleITK")
    else:
        calls["SimpleITK"] = lambda: _by_simpleitk(str(folder / "c0"))
    found: dict[str, list[float]] = {name: [] for name in calls}
    for number in range(3 * args.rounds + 1):
        for name, call in calls.items():
            begun = time.process_time()
            call()
            if number:
                found[name].append(time.process_time() - begun)
    for name, seconds in found.items():
        print(f"dicom, {name:14} {1e3 * statistics.median(seconds):7.1f} ms", flush=True)
    if "SimpleITK" in found:
        low, middle, high = statistics.quantiles(
            [one / base for one, base in zip(found["ours"], found["SimpleITK"], strict=True)], n=4)
        print(f"ours over SimpleITK {middle:.2f} [{low:.2f}, {high:.2f}]")
    return found


def _by_simpleitk(folder: str) -> Any:
    import SimpleITK

    reader = SimpleITK.ImageSeriesReader()
    reader.SetFileNames(reader.GetGDCMSeriesFileNames(folder))
    return SimpleITK.GetArrayFromImage(reader.Execute())


def memory(folder: Path, args: argparse.Namespace) -> dict[str, float]:
    """The peak of a process that trains: ours, and the plain loop with the same modules imported."""
    found = {}
    for name in ("ours", "plain loop"):
        command = [sys.executable, str(Path(__file__).parent / "training.py"), "--one", name, *["--small"] * args.small]
        made = subprocess.run(command, check=True, capture_output=True, text=True, env={**os.environ})
        found[name] = float(made.stdout.splitlines()[-1])
        print(f"peak of memory, {name:12} {found[name]:7.0f} MB", flush=True)
    return found
