"""Networks whose losses compare the cases of a step, seen by the tests of these losses and by their subprocesses."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import torch
from small_runs import NETWORK, STILL, Cohort
from torch import Tensor, nn

import fusionkit
from fusionkit.api import Config, Head, TensorShape
from fusionkit.data.batch import Batch, collate
from fusionkit.network.model import FusionModel
from fusionkit.training.settings import TrainingSettings
from fusionkit.training.step import Stepper

SETTINGS = {"epochs": 2, "batch_size": 6, "learning_rate": 0.01, "device": "cpu", "threads": 1}


class Values(Config):
    """Options of the head."""

    values: list[str]


class Ranked(nn.Module):
    """Each case is to lie above those with smaller targets: the log of a sum over these, with a scale of its own."""

    def __init__(self, config: Values, inputs: Sequence[TensorShape]) -> None:
        super().__init__()
        self.layer = nn.Linear(inputs[0].width, 1)
        self.scale = nn.Parameter(torch.tensor(0.7))  # read by the loss alone
        self.seen: list[int] = []

    def forward(self, features: Tensor) -> Tensor:
        return self.layer(features)

    def loss(self, output: Tensor, target: Tensor) -> Tensor:
        self.seen.append(len(output))
        scores = self.scale * output[:, 0]
        below = target[:, 0].unsqueeze(1) >= target[:, 0]
        return scores.expand(len(scores), -1).where(below, float("-inf")).logsumexp(1) - scores

    def decode(self, output: Tensor) -> Tensor:
        return output

    def balance(self, counts: Tensor) -> None:
        pass


RANKED = Head("ranked", Values, Ranked, rule="features: B _ -> B 1", task="regression", names="values", cases="step")


def ranked(seed: int = 0, **nodes: dict[str, Any]) -> FusionModel:
    """The small network with a head that compares cases beside an ordinary one."""
    changed = {**NETWORK["nodes"], "size": {"use": "head.ranked", "from": "both", "with": {"values": ["length"]},
                                            "loss": 0.5}}
    changed = {name: {**node, **nodes.get(name, {})} for name, node in changed.items()}
    return fusionkit.build({**NETWORK, "nodes": changed}, seed=seed, components=[RANKED])


def still() -> FusionModel:
    """The same without dropout, in double precision: what a step gives does not depend on its division."""
    return ranked(**STILL).double()


def batch(rows: Sequence[int], cohort: Cohort | None = None) -> Batch:
    """Some cases in double precision."""
    found = collate([(cohort or Cohort())[row] for row in rows])
    return replace(found, inputs={name: value.double() for name, value in found.inputs.items()},
                   targets={name: value.double() if value.is_floating_point() else value
                            for name, value in found.targets.items()})


def gradients(stepper: Stepper, batches: Sequence[Batch]) -> tuple[dict[str, Tensor], dict[str, float]]:
    """The gradients of a step, and the sums of its losses."""
    outcome = stepper.gradients(batches, stepper.totals(batches)[0], 0, 0)
    return {name: weight.grad.clone() for name, weight in stepper.network.named_parameters()
            if weight.grad is not None}, outcome.sums | {"": outcome.loss}


def settings(**changed: Any) -> TrainingSettings:
    """Settings of a short run."""
    return TrainingSettings(**{**SETTINGS, **changed})


def contrasted(cases: str = "step", **options: Any) -> FusionModel:
    """A network without dropout with a contrast of its two inputs, in double precision."""
    nodes = {**NETWORK["nodes"], "near": {"use": "fusion.infonce", "from": ["eyes", "clinic"], "with": {
        "width": 5, "weight": 0.7, "cases": cases, **options}}}
    nodes |= {name: {**nodes[name], **changed} for name, changed in STILL.items()}
    nodes["both"] = {"use": "fusion.mean", "from": "near"}
    return fusionkit.build({**NETWORK, "nodes": nodes}).double()


def apart() -> FusionModel:
    """The same, in which cases of one patient are not told apart."""
    return contrasted(same_patient="ignore")


def supervised() -> FusionModel:
    """A network without dropout with a supervised contrast, in double precision."""
    kind = {"use": "head.supcon", "from": {"features": "both", "views": ["eyes", "clinic"]},
            "with": {"classes": ["a", "b", "c"], "width": 5, "cases": "step"}}
    nodes = {**NETWORK["nodes"], "kind": kind}
    nodes |= {name: {**nodes[name], **changed} for name, changed in STILL.items()}
    return fusionkit.build({**NETWORK, "nodes": nodes}).double()


PATIENTS = [f"patient {row % 9}" for row in range(23)]
NETWORKS = {"head": still, "auxiliary": contrasted, "patients": apart, "supcon": supervised}
"""Networks for a step in several processes, by a word."""
