"""Calibration on a phantom cohort: an ensemble with Monte Carlo dropout, its probabilities and sets before and after.

Run: python benchmarks/calibration.py DIR [--cases 4000] [--scenario additive] [--members 3] [--seed 0]. Writes the
cohort (CT series and a table), trains the graph `phantom` as `uncertainty.mc_ensemble` on a tenth of the cases,
calibrates on three tenths, tests on the rest, for two shares of misses and by class, and prints the coverage of the
sets beside the interval that chance gives: the coverage over all possible cases is Beta(k, n + 1 - k) for n cases to
calibrate on and k = ceil((n + 1)(1 - alpha)), and the covered test cases are binomial.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

import numpy as np

from fusionkit.cli.parser import main as fusionkit
from fusionkit.datasets.phantom import SCENARIOS
from fusionkit.datasets.phantom_files import write_phantom
from fusionkit.evaluation.calibration.conformal import rank

SHARES = (0.1, 0.3)


def command(*words: str) -> None:
    print("fusionkit", *words, flush=True)
    if fusionkit(list(words)):
        raise SystemExit(1)


def report(run: Path) -> None:
    found: dict[str, Any] = json.loads((run / "metrics.json").read_text(encoding="utf-8"))["heads"]["diagnosis"]
    fitted = json.loads((run / "calibration.json").read_text(encoding="utf-8"))["heads"]["diagnosis"]
    sets, tested, held_out = found["trust"]["sets"], found["counts"]["cases"], fitted["cases"]
    place = rank(held_out, sets["alpha"])
    rng = np.random.default_rng(0)
    chance = rng.binomial(tested, rng.beta(place, held_out + 1 - place, 10**6)) / tested
    around = rng.binomial(tested, 1 - sets["alpha"], 10**6) / tested
    print(f"temperature {fitted['temperatures'][0]:.3f}; asked {sets['target']}, found {sets['coverage']['value']:.4f} "
          f"of {tested} cases; 95 % of chance: binomial {_interval(around)}, with the {held_out} cases to calibrate on "
          f"{_interval(chance)}\n", flush=True)


def _interval(values: np.ndarray[Any, np.dtype[np.float64]]) -> str:
    low, high = np.quantile(values, [0.025, 0.975])
    return f"{low:.4f} to {high:.4f}"


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("folder", type=Path)
    options.add_argument("--cases", type=int, default=4000)
    options.add_argument("--scenario", choices=SCENARIOS, default="additive")
    options.add_argument("--members", type=int, default=3)
    options.add_argument("--seed", type=int, default=0)
    chosen = options.parse_args()
    data, run = chosen.folder / "cohort" / "data.yaml", chosen.folder / "run"
    if not data.exists():
        write_phantom(data.parent, chosen.scenario, chosen.cases, chosen.seed, shares=SHARES)
    command("train", "phantom", str(data), "-o", str(run), "--seed", str(chosen.seed), "--monitor", "accuracy",
            "--set", "uncertainty.use=uncertainty.mc_ensemble", "--set", f"uncertainty.with.members={chosen.members}")
    report(run)
    for choices in (["--alpha", "0.05"], ["--alpha", "0.1", "--class-conditional"]):
        command("calibrate", str(run), *choices)
        command("evaluate", str(run))
        report(run)


if __name__ == "__main__":
    main()
