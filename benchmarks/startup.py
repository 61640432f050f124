"""Start-up of the command line against `python -c pass`: CPU time of fresh processes, run in turn.

Run: python benchmarks/startup.py [--rounds 15].
"""

from __future__ import annotations

import argparse
import os
import random
import statistics
import subprocess
import sys


def cpu_seconds(command: list[str]) -> float:
    before = os.times()
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    after = os.times()
    return (after.children_user - before.children_user) + (after.children_system - before.children_system)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=15)
    rounds = parser.parse_args().rounds
    base = [sys.executable, "-c", "pass"]
    commands = {
        "--help": [sys.executable, "-m", "fusionkit", "--help"],
        "plugins list": [sys.executable, "-m", "fusionkit", "plugins", "list"],
        "import torch": [sys.executable, "-c", "import torch"],
    }
    ratios: dict[str, list[float]] = {name: [] for name in commands}
    times: dict[str, list[float]] = {name: [] for name in ["pass", *commands]}
    for _ in range(rounds):
        took = {"pass": cpu_seconds(base)}
        for name in random.sample(list(commands), len(commands)):
            took[name] = cpu_seconds(commands[name])
            ratios[name].append(took[name] / took["pass"])
        for name, value in took.items():
            times[name].append(value)
    print(f"python -c pass: {1000 * statistics.median(times['pass']):.0f} ms of CPU, {rounds} rounds")
    for name, values in ratios.items():
        low, middle, high = statistics.quantiles(values, n=4)
        print(f"{name:14} {1000 * statistics.median(times[name]):5.0f} ms, {middle:.1f} times [{low:.1f}, {high:.1f}]")


if __name__ == "__main__":
    main()
