"""How long the bootstrap of all metrics of a binary head takes: 10,000 cases, 2,000 draws, on one core.

    OMP_NUM_THREADS=1 python benchmarks/evaluation.py [--cases 10000] [--resamples 2000] [--every]

The limit of the project is 15 s for the metrics that are measured by default. `--every` adds those that must be named.
"""

from __future__ import annotations

import argparse
import time

import numpy as np

from fusionkit.evaluation.bootstrap import bootstrap
from fusionkit.evaluation.chosen_metrics import installed_metrics
from fusionkit.evaluation.metrics import measure
from fusionkit.evaluation.predictions import collect
from fusionkit.registry.lookup import discover


def main() -> None:
    """Measure, and print the seconds of all metrics together and of each alone."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cases", type=int, default=10_000)
    parser.add_argument("--resamples", type=int, default=2_000)
    parser.add_argument("--every", action="store_true")
    args = parser.parse_args()
    generator = np.random.default_rng(0)
    chance = 1 / (1 + np.exp(-generator.normal(-1, 1.2, args.cases)))
    true = (generator.uniform(size=args.cases) < chance).astype(float)
    outcomes = collect("multiclass", ["no", "yes"], true, np.stack([1 - chance, chance], 1))
    metrics = installed_metrics(discover(), every=args.every)
    for chosen in (metrics, *((metric,) for metric in measure(outcomes, metrics).metrics)):
        measured = measure(outcomes, chosen)
        start = time.perf_counter()
        bootstrap(outcomes, measured, resamples=args.resamples)
        name = "all together" if chosen is metrics else chosen[0].key
        print(f"{name:20} {time.perf_counter() - start:6.2f} s")


if __name__ == "__main__":
    main()
