"""Why a loss turned NaN: the batch is run again, node by node, to find the origin."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from fusionkit.data.batch import Batch
from fusionkit.layers.masking import row_mask
from fusionkit.network.model import FusionModel
from fusionkit.planning.plan import PlannedNode
from fusionkit.training.distributed import own_part
from fusionkit.training.objective import arguments, counted
from fusionkit.training.step import Stepper

_SHOWN = 8


@dataclass(frozen=True)
class NonFinite:
    """Where a batch first contains a number that is not finite: a description, and the affected rows of the cohort."""

    what: str
    rows: tuple[int, ...]
    batch: tuple[int, ...]


@torch.no_grad()
def find(stepper: Stepper, batches: Iterable[Batch]) -> NonFinite | None:
    """The first such place in the first bad batch, over all processes; None if everything is finite in the second run.

    Every process must call it.
    """
    unshard = getattr(stepper.objective, "unshard", None)
    if unshard is not None:
        unshard()
    found: NonFinite | None = None
    for batch in batches:
        with stepper.processes.accelerator.autocast():
            found = found or _walk(stepper, stepper.place(batch))
    everywhere = [finding for finding in stepper.processes.gather(found) if finding is not None]
    return everywhere[0] if everywhere else None


def _walk(stepper: Stepper, batch: Batch) -> NonFinite | None:
    """Runs every node even after the first finding, since processes with sharded weights must run the same nodes."""
    network = stepper.network
    inputs, present, targets, target_present = arguments(network, batch)
    read = {value.name for value in network.plan.inputs}
    places: list[tuple[str, Tensor]] = []
    for name, value in inputs.items():
        kept = value.where(_fitted(present[name], value), 0) if name in present else value
        what = "input" if name in read else "result"
        places.append((f"the {what} {name!r} is not finite", _bad_rows(kept)))
    state = network.begin(inputs, present)
    _, program = network.split({node.name for node in network.plan.nodes})
    for node, bound in zip(network.plan.nodes, program, strict=True):
        if state.to_run is not None and node.name not in state.to_run:
            continue
        before, state = state, network.advance([bound], state)
        places.extend((_describe(network, node), _bad_rows(value)) for old, value in
                      zip(before.slots, state.slots, strict=True) if value is not None and value is not old)
    valid = counted(network, present, target_present)
    for name, output in network.results(state).items():
        if name in valid:
            target = targets[name].where(row_mask(valid[name], targets[name]), 0)
            losses = network.head(name).loss(output.where(row_mask(valid[name], output), 0), target)
            bad = _bad_rows(losses.where(valid[name], 0))
            places.append((f"the loss of head {name!r} is the first that is not finite; its output is", bad))
    for what, bad_B in places:
        if bad_B.any():
            index = batch.index.tolist()
            rows = [row for row, bad in zip(index, bad_B.tolist(), strict=True) if bad] if bad_B.dim() else index
            return NonFinite(what, tuple(rows), tuple(index))
    return None


def _fitted(mask: Tensor, value: Tensor) -> Tensor:
    """A mask of cases (B,), or of tokens (B, N), with as many axes as a value."""
    return mask.reshape(*mask.shape, *([1] * (value.dim() - mask.dim())))


def _bad_rows(value: Tensor) -> Tensor:
    """Which rows contain a number that is not finite: (B,), or a scalar for a scalar."""
    bad = ~value.isfinite() if value.is_floating_point() else torch.zeros_like(value, dtype=torch.bool)
    return bad.flatten(1).any(1) if bad.dim() > 1 else bad


def _describe(network: FusionModel, node: PlannedNode) -> str:
    weights = [own_part(parameter) for parameter in network.get_submodule(node.name).parameters()]
    spoilt = not all(bool(parameter.isfinite().all()) for parameter in weights)
    also = "; its weights are not finite either" if spoilt else "; its weights and what it reads are finite"
    return f"node {node.name!r} ({node.uses}) at {node.node.span} is the first whose output is not finite{also}"


def explain(finding: NonFinite | None, gradient_nodes: Sequence[str], *, where: str, rate: float | None, ids: Any,
            precision: str, kept: str) -> str:
    """The error message of a run that stopped at a number that is not finite."""
    parts = [f"the loss turned NaN or infinite in {where}" if finding or not gradient_nodes else
             f"the gradient turned NaN or infinite in {where}, while the loss was finite"]
    if finding:
        parts.append(finding.what)
        named = _names(finding.rows, ids)
        parts.append(f"in {len(finding.rows)} of the {len(finding.batch)} cases of the batch: {named}"
                     if len(finding.rows) < len(finding.batch) else f"in every case of the batch: {named}")
    elif gradient_nodes:
        parts.append(f"node {gradient_nodes[0]!r} is the node closest to the loss whose gradient is not finite; also: "
                     f"{', '.join(gradient_nodes[1:]) or 'none'}")
    else:
        parts.append("the same batch was finite when it was run again, so no node can be named")
    tries = ["'clip_gradient: 1'", *(["'precision: fp32' or bf16"] if precision == "fp16" else []),
             "the cases named here", "a norm before the node"]
    if rate is not None:
        parts.append(f"the learning rate was {rate:g}")
        tries.insert(0, f"a smaller 'learning_rate' ({rate / 10:.1g})")
    return "\n  ".join([*parts, f"try or look at: {', '.join(tries)}", kept])


def _names(rows: Sequence[int], ids: Any) -> str:
    shown = [repr(ids[row]) if ids else f"row {row}" for row in rows[:_SHOWN]]
    more = f" and {len(rows) - _SHOWN} more" if len(rows) > _SHOWN else ""
    return ", ".join(shown) + more
