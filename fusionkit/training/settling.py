"""What heads fit once after training, to the results for the training cases by the best weights."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path

import torch
from torch import Tensor

from fusionkit.data.batch import Batch
from fusionkit.network.model import FusionModel
from fusionkit.network.settled import settling
from fusionkit.training.distributed import Processes
from fusionkit.training.fitting import fit_buffers
from fusionkit.training.objective import arguments, counted
from fusionkit.training.result import publish


@torch.no_grad()
def settle(network: FusionModel, batches: Callable[[], Iterable[Batch]], processes: Processes, path: Path
           ) -> tuple[str, ...]:
    """Let the heads that ask for it fit their buffers, write the weights with them, and name these heads.

    `batches` are the training cases of this process. The network, in evaluation mode, must be the same in every
    process; it is afterwards too.
    Raises: RunError if a head fails, or gives its buffers another shape.
    """
    heads = settling(network)
    found: dict[str, list[tuple[Tensor, ...]]] = {name: [] for name in heads}
    device = next((value.device for value in network.state_dict().values()), processes.device)
    for batch in batches() if heads else ():
        inputs, present, targets, target_present = arguments(network, batch.to(device))
        results = network(inputs, present)
        valid = counted(network, present, target_present)
        for name, kept in found.items():
            parts = (batch.index.to(device), results[name], targets[name])
            kept.append(tuple(part[valid[name]].cpu() for part in parts))
    settled = []
    for name, kept in found.items():
        index, raw, wanted = (torch.cat(parts) for parts in zip(
            *(batch for part in processes.gather(kept) for batch in part), strict=True))
        order = index.argsort()
        if len(order):
            fit_buffers(f"the head {name!r}", network.head(name), "settle", raw[order].to(device),
                        wanted[order].to(device))
            settled.append(name)
    if settled and processes.main:
        publish({}, {name: value.cpu() for name, value in network.state_dict().items()}, path)
    return tuple(settled)
