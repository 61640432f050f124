"""Time and memory of the metrics of survival with intervals: python benchmarks/survival_metrics.py [--cases N ...].

Times, events and risks are made up, a fifth of the times tied. It prints seconds on one core for all resamples of each
metric, and the peak of the memory in use.
"""

from __future__ import annotations

import argparse
import resource
import time
from typing import Any

import numpy as np

from fusionkit.components.training_outcomes import SurvivalCurves, TrainingOutcomes
from fusionkit.evaluation.bootstrap import bootstrap
from fusionkit.evaluation.chosen_metrics import metrics_named
from fusionkit.evaluation.metrics import measure
from fusionkit.evaluation.predictions import collect
from fusionkit.registry.lookup import discover

TIMED = ("uno", "harrell", "harrell{antolini: true}", "survival_auc", "survival_brier", "survival_brier_scaled", "ibs",
         "survival_oe", "survival_slope", "survival_ici,survival_e50,survival_e90", "d_calibration", "log_rank",
         "rmst_difference")
HORIZONS = np.array([12.0, 24.0, 36.0])


def cohort(cases: int, seed: int) -> tuple[Any, Any, Any, Any]:
    """Targets (N, 2), log hazards (N,), times and cumulative baseline hazard."""
    rng = np.random.default_rng(seed)
    risk = rng.normal(size=cases)
    times = rng.exponential(30 * np.exp(-risk))
    ends = rng.uniform(5, 60, cases)
    seen = np.minimum(times, ends)
    seen = np.where(rng.random(cases) < 0.2, np.ceil(seen), np.maximum(seen, 0.01))
    grid = np.linspace(0.5, 60, 120)
    return np.stack([seen, times <= ends], 1), risk, grid, grid / 30


def outcomes(cases: int) -> Any:
    """The cases of a head, with what a run keeps of as many others."""
    made = []
    for seed in (0, 1):
        targets, risk, grid, hazard = cohort(cases, seed)
        curves = SurvivalCurves(grid, np.exp(-hazard * np.exp(risk)[:, None]).astype(np.float32), steps=True)
        training = None
        if made:
            training = TrainingOutcomes((made[0].method.keep(made[0]),))
        made.append(collect("survival", [f"{horizon:g}" for horizon in HORIZONS], targets, curves.at(HORIZONS),
                            risk=risk, curves=curves, training=training))
    return made[1]


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cases", type=int, nargs="+", default=[300, 2000, 10_000])
    parser.add_argument("--resamples", type=int, default=1000)
    args = parser.parse_args()
    registry = discover()
    print(f"{'metric':42}" + "".join(f"{count:>10} cases" for count in args.cases))
    prepared = [outcomes(count) for count in args.cases]
    for typed in TIMED:
        seconds = []
        for cases in prepared:
            begin = time.perf_counter()
            measured = measure(cases, metrics_named(typed, registry, "--metric"))
            bootstrap(cases, measured, resamples=args.resamples)
            seconds.append(time.perf_counter() - begin)
        print(f"{typed:42}" + "".join(f"{value:>14.3f} s" for value in seconds), flush=True)
    print(f"peak of memory: {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024:.0f} MB")


if __name__ == "__main__":
    main()
