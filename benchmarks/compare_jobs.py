"""How much faster `fusionkit compare --jobs N` is than one process, with the same weights.

Run: python benchmarks/compare_jobs.py [--jobs 2] [--rounds 3] [--cases 144] [--folds 4] [--epochs 3] [--frozen]

A comparison of four fusions over two encoders of images runs by the command that a user types, once in one process and
once in `--jobs`, each with one CPU thread, in alternating order. With `--frozen` the encoders are frozen, so that all
networks of a fold are trained in lockstep and share their features. Printed are the ratios of wall-clock seconds of the
whole command, start-up and report included: median and range of the rounds, and the load of the machine at the start
of each. The processor time of all processes of a command is printed too, which depends less on what else runs: what the
jobs take more than one process is what is repeated. Every file of weights is compared to the bit. Data are random: what
is measured is time.
"""

from __future__ import annotations

import argparse
import csv
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

GRAPH = """\
fusionkit: 1
name: jobs
inputs: {{left: {{image: [3, 64, 64]}}, right: {{image: [3, 64, 64]}}}}
nodes:
  one: {{use: encoder.conv, from: left{frozen}, with: {{widths: [16, 32], output: pooled}}}}
  two: {{use: encoder.conv, from: right{frozen}, with: {{widths: [16, 32], output: pooled}}}}
  fused: {{use: fusion.concat, from: [one, two]}}
  kind: {{use: head.classify, from: fused, with: {{classes: [a, b]}}}}
training: {{epochs: {epochs}, batch_size: 12, device: cpu, hold_out: 0}}
"""
DATA = """\
fusionkit-data: 1
cases: cases.csv
id: id
inputs:
  left: {read: numpy, path: "{id}-left.npy"}
  right: {read: numpy, path: "{id}-right.npy"}
targets: {kind: {column: kind}}
"""


def write_study(folder: Path, cases: int, epochs: int, frozen: bool) -> None:
    """Random pairs of images."""
    generator = np.random.default_rng(0)
    with (folder / "cases.csv").open("w", newline="") as stream:
        sheet = csv.writer(stream)
        sheet.writerow(["id", "kind"])
        for case in range(cases):
            sheet.writerow([f"c{case}", "ab"[case % 2]])
            for side in ("left", "right"):
                np.save(folder / f"c{case}-{side}.npy", generator.normal(size=(3, 64, 64)).astype(np.float32))
    (folder / "data.yaml").write_text(DATA)
    (folder / "graph.yaml").write_text(GRAPH.format(epochs=epochs, frozen=", freeze: true" if frozen else ""))


def compared(study: Path, output: str, folds: int, jobs: int) -> tuple[float, float]:
    """The seconds of one comparison by the command line, and its processor time."""
    command = [sys.executable, "-m", "fusionkit", "compare", "graph.yaml", "data.yaml", "--node", "fused", "--with",
               "fusion.sum,fusion.gmu{width: 32},fusion.product", "--folds", str(folds), "--no-baselines", "--jobs",
               str(jobs), "-o", output]
    before, began = _processor_seconds(), time.perf_counter()
    subprocess.run(command, cwd=study, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
                   env={**os.environ, "OMP_NUM_THREADS": "1"})
    return time.perf_counter() - began, _processor_seconds() - before


def _processor_seconds() -> float:
    """The processor time of all processes that this one has started and that have ended."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def check_same(one: Path, other: Path) -> int:
    """How many files of weights are the same in both; ends the program where one differs."""
    files = sorted(one.rglob("model.safetensors"))
    for file in files:
        if file.read_bytes() != (other / file.relative_to(one)).read_bytes():
            raise SystemExit(f"the weights of {file.relative_to(one)} differ")
    return len(files)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    for name, default in (("jobs", 2), ("rounds", 3), ("cases", 144), ("folds", 4), ("epochs", 3)):
        parser.add_argument(f"--{name}", type=int, default=default)
    parser.add_argument("--frozen", action="store_true", help="freeze the encoders")
    args = parser.parse_args()
    ratios = []
    with tempfile.TemporaryDirectory() as place:
        study = Path(place)
        write_study(study, args.cases, args.epochs, args.frozen)
        for number in range(args.rounds):
            load = os.getloadavg()[0]
            seconds, computing = {}, {}
            for jobs in ((1, args.jobs), (args.jobs, 1))[number % 2]:
                seconds[jobs], computing[jobs] = compared(study, f"{jobs}-{number}", args.folds, jobs)
            same = check_same(study / f"1-{number}" / "runs", study / f"{args.jobs}-{number}" / "runs")
            ratios.append(seconds[1] / seconds[args.jobs])
            print(f"round {number + 1}: one process {seconds[1]:.1f} s, {args.jobs} jobs {seconds[args.jobs]:.1f} s, "
                  f"{ratios[-1]:.2f} times faster; load before {load:.1f} on {os.cpu_count()} cores; processor time "
                  f"{computing[1]:.1f} s and {computing[args.jobs]:.1f} s; {same} files of weights are the same to the "
                  "bit", flush=True)
    print(f"{statistics.median(ratios):.2f} [{min(ratios):.2f}, {max(ratios):.2f}]")


if __name__ == "__main__":
    main()
