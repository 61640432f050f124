"""CPU time of `fusionkit evaluate` in fresh processes: a small network, 1,000 test cases, with and without pictures.

    OMP_NUM_THREADS=1 python benchmarks/evaluate_run.py [--cases 1000] [--rounds 5]

`import torch` and `import` of the command's modules stand beside it; `modules` says which of the packages that take
long were loaded.
"""

from __future__ import annotations

import argparse
import csv
import os
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np

GRAPH = """\
fusionkit: 1
name: small
inputs: {lab: {vector: [6]}}
nodes:
  told: {use: encoder.mlp, from: lab, with: {width: 16}}
  result: {use: head.classify, from: told, with: {classes: ["no", "yes"]}}
training: {epochs: 1, hold_out: 0, device: cpu}
"""
DATA = """\
fusionkit-data: 1
cases: cases.csv
id: id
split: {column: split}
inputs: {lab: {read: columns, numeric: [a, b, c, d, e, f]}}
targets: {result: {column: result}}
"""
SLOW = ("matplotlib", "scipy", "sklearn", "pandas", "sympy", "triton", "torchmetrics", "torch._dynamo")
MODULES = f"""\
import sys
from fusionkit.cli.parser import main
main(["evaluate", sys.argv[1], "-o", sys.argv[2], *sys.argv[3:]])
print([name for name in {SLOW!r} if name in sys.modules], file=sys.stderr)
"""


def study(folder: Path, cases: int) -> Path:
    """A run with so many test cases."""
    rng = np.random.default_rng(0)
    with (folder / "cases.csv").open("w", newline="") as file:
        rows = csv.writer(file)
        rows.writerow(["id", "split", "result", *"abcdef"])
        for case in range(cases + 400):
            part = "test" if case < cases else "train" if case < cases + 300 else "validation"
            numbers = rng.normal(0.4 * (case % 2), 1, 6)
            rows.writerow([f"c{case}", part, ("no", "yes")[case % 2], *(f"{number:.4f}" for number in numbers)])
    (folder / "graph.yaml").write_text(GRAPH)
    (folder / "data.yaml").write_text(DATA)
    subprocess.run([sys.executable, "-m", "fusionkit", "train", folder / "graph.yaml", folder / "data.yaml", "-o",
                    folder / "run"], check=True, capture_output=True)
    return folder / "run"


def cpu_seconds(command: list[str]) -> float:
    """Of one process."""
    before = os.times()
    subprocess.run(command, check=True, capture_output=True)
    after = os.times()
    return (after.children_user - before.children_user) + (after.children_system - before.children_system)


def main() -> None:
    """Measure, and print the medians."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cases", type=int, default=1000)
    parser.add_argument("--rounds", type=int, default=5)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as kept:
        run = study(Path(kept), args.cases)
        base = [sys.executable, "-m", "fusionkit", "evaluate", str(run), "-o", f"{kept}/out"]
        commands = {"import torch": [sys.executable, "-c", "import torch"],
                    "import of evaluate": [sys.executable, "-c", "import fusionkit.interface.evaluate"],
                    "evaluate --no-plots": [*base, "--no-plots"], "evaluate": base}
        for name, command in commands.items():
            times = [cpu_seconds(command) for _ in range(args.rounds)]
            print(f"{name:20} {statistics.median(times):6.2f} s of CPU [{min(times):.2f}, {max(times):.2f}]")
        for more in (["--no-plots"], []):
            told = subprocess.run([sys.executable, "-c", MODULES, str(run), f"{kept}/out", *more], check=True,
                                  capture_output=True, text=True).stderr.splitlines()[-1]
            print(f"modules of evaluate {' '.join(more)}: {told}")


if __name__ == "__main__":
    main()
