"""One step in several processes: prints its gradients and sums as JSON.

Arguments: a folder, the word of a network, and the batches as JSON.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np
from step_networks import NETWORKS, PATIENTS, batch, gradients, settings

from fusionkit.training.distributed import Processes
from fusionkit.training.step import Stepper


def main(folder: str, network: str, divided: str) -> None:
    chosen = settings()
    processes = Processes(chosen, Path(folder))
    stepper = Stepper(NETWORKS[network](), chosen, processes, batch([0]), patients=PATIENTS)
    batches = [batch(np.array_split(rows, processes.count)[processes.index].tolist()) for rows in json.loads(divided)]
    found, sums = gradients(stepper, batches)
    if processes.main:
        print(json.dumps({"gradients": {name: value.flatten().tolist() for name, value in found.items()},
                          "sums": sums}))


if __name__ == "__main__":
    main(*sys.argv[1:])
