"""Peak memory of a prediction by TabICL of its default size with random weights, for each case and column.

    python benchmarks/tabicl_memory.py 500 20
"""

from __future__ import annotations

import resource
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import torch
from tabicl import TabICLClassifier
from tabicl._model.tabicl import TabICL


def peak() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def main() -> None:
    cases, columns = int(sys.argv[1]), int(sys.argv[2])
    table = np.random.default_rng(0).normal(size=(cases, columns))
    classes, learned = (table[:, 0] > 0).astype(int), cases * 4 // 5
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "random.ckpt"
        torch.save({"config": {}, "state_dict": TabICL().state_dict()}, path)
        model = TabICLClassifier(n_estimators=2, batch_size=1, random_state=0, model_path=str(path),
                                 allow_auto_download=False, device="cpu")
        model.fit(table[:learned], classes[:learned])
        before, begin = peak(), time.perf_counter()
        model.predict_proba(table[learned:])
        taken, seconds = peak() - before, time.perf_counter() - begin
    print(f"{taken:.0f} MB, {taken * 2**20 / (cases * (columns + 4)) / 1000:.1f} kB for each case and column, "
          f"{seconds:.0f} s")


if __name__ == "__main__":
    main()
