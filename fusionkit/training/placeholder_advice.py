"""Warnings about learned imputations that no training case uses, so that they keep their initial values."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch

from fusionkit.components.component import Encoder
from fusionkit.errors import Diagnostic
from fusionkit.graph.nodes import Step
from fusionkit.network.instantiate import make_module
from fusionkit.planning.plan import Call, Plan


def untrained(plan: Plan, lacked: Callable[[str], bool]) -> list[Diagnostic]:
    """A warning for each; `lacked(name)` says whether training cases may lack that input, also by modality dropout."""
    found = []
    for node in plan.nodes:
        for lane in node.lanes:
            names = sorted({name for value in lane.reads if value.present for name in value.present.inputs})
            if node.node.freeze or not names or any(map(lacked, names)):
                continue
            found += [_warning(step, names) for step, call in zip(node.node.steps, lane.calls, strict=True)
                      if call.component.absent == "fill" and not _of_cells(call) and _learns(call)]
    return found


def _of_cells(call: Call) -> bool:
    """Whether blank cells are what it learns its stand-in of."""
    return isinstance(call.component, Encoder) and call.component.asks_known(call.config)


def _warning(step: Step, names: Sequence[str]) -> Diagnostic:
    listed = " and ".join(map(repr, names))
    return Diagnostic(
        "untrained-stand-in", f"{step.use} will not learn: no training case lacks {listed}", step.span,
        fix="set 'modality_dropout', so that training drops inputs at random", severity="warning")


def _learns(call: Call) -> bool:
    with torch.device("meta"):
        return any(weight.requires_grad for weight in make_module(call, "", 0, weights_follow=True).parameters())
