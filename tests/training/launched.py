"""A small run as a program of its own, to be killed, or launched in several processes.

Arguments, as one JSON object: folder, settings, strategies (one run after the other, each in a folder of its own),
still, nodes (further keys of some nodes), unimodal (another network), tables (the only rows with a table), fusions
(some of small_runs.FUSIONS, behind batch norm, each a run), kill (an [epoch, step] at which the process kills itself
with SIGKILL), kill_saving (the number of the file being saved at which it does). Prints the losses of each run as a
line of JSON.
"""

from __future__ import annotations

import json
import os
import signal
import sys
from itertools import product
from pathlib import Path
from typing import Any

from small_runs import NETWORK, STILL, Cohort, Repeated, fused, losses, network, settings_of, unimodal

from fusionkit.training import checkpoint
from fusionkit.training.loop import fit


def kill() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def main(options: dict[str, Any]) -> None:
    at = options.get("kill")

    def progress(epoch: int, step: int, steps: int, loss: float) -> None:
        if [epoch, step] == at:
            kill()

    if "kill_saving" in options:
        kill_saving(options["kill_saving"])
    cohort = Cohort().with_tables(*options["tables"]) if "tables" in options else Cohort()
    for strategy, fusion in product(options.get("strategies", ["auto"]), options.get("fusions", [""])):
        settings = settings_of({**options["settings"], "strategy": strategy})
        folder = Path(options["folder"]) / (strategy if strategy != "auto" else "") / fusion
        nodes = fused(fusion) if fusion else STILL if options.get("still") else {}
        nodes = {name: {**nodes.get(name, {}), **options.get("nodes", {}).get(name, {})} for name in NETWORK["nodes"]}
        model = unimodal() if options.get("unimodal") else network(**nodes)
        cases = Repeated if options.get("unimodal") else Cohort
        learned = Repeated() if options.get("unimodal") else cohort
        result = fit(model, learned, cases(11, 1), settings, folder, progress=progress)
        if result.main:
            print(json.dumps(losses(result.history)))


def kill_saving(number: int) -> None:
    """Die while a file lies beside the place it is to take."""
    files = iter(range(number))
    flush = checkpoint._flush

    def dying(path: Path) -> None:
        flush(path)
        if next(files, None) is None:
            kill()

    checkpoint._flush = dying


if __name__ == "__main__":
    main(json.loads(sys.argv[1]))
