"""Small cohorts in memory and a small network for them, seen by every test of this room and by its subprocesses."""

from __future__ import annotations

from typing import Any

import torch
from torch.utils.data import Dataset

import fusionkit
from fusionkit.api import Config, Training, TrainingMethod
from fusionkit.data.batch import Case
from fusionkit.network.model import FusionModel
from fusionkit.registry.lookup import discover
from fusionkit.training.settings import TrainingSettings, read_settings

NETWORK: dict[str, Any] = {
    "fusionkit": 1,
    "inputs": {"scan": {"image": [2, 5, 7]}, "table": {"vector": [3], "optional": True}},
    "nodes": {
        "eyes": {"use": "encoder.conv", "from": "scan", "with": {"widths": [5, 7], "norm": "group", "dropout": 0.1}},
        "clinic": {"use": "encoder.mlp", "from": "table", "with": {"width": 7, "hidden": [11], "dropout": 0.2}},
        "both": {"use": "fusion.mean", "from": ["eyes", "clinic"]},
        "kind": {"use": "head.classify", "from": "both", "with": {"classes": ["a", "b", "c"]}},
        "size": {"use": "head.regress", "from": "both", "with": {"values": ["length"]}, "loss": 0.5},
    },
}


def network(seed: int = 0, **nodes: dict[str, Any]) -> FusionModel:
    """The small network, with the options of some nodes changed."""
    changed = {name: {**node, **nodes.get(name, {})} for name, node in NETWORK["nodes"].items()}
    return fusionkit.build({**NETWORK, "nodes": changed}, seed=seed)


class Cohort(Dataset[Case]):
    """Cases that can be learnt: the class moves the mean of the scan; tables and targets are missing here and there."""

    def __init__(self, count: int = 23, seed: int = 0, gaps: bool = True) -> None:
        generator = torch.Generator().manual_seed(seed)
        self.ids = tuple(f"case {index}" for index in range(count))
        self.kinds = torch.randint(3, (count,), generator=generator)
        self.scans = torch.randn(count, 2, 5, 7, generator=generator) + self.kinds[:, None, None, None] - 1
        self.tables = torch.randn(count, 3, generator=generator)
        self.has_table = torch.ones(count, dtype=torch.bool)
        self.has_kind = torch.ones(count, dtype=torch.bool)
        self.has_size = torch.ones(count, dtype=torch.bool)
        if gaps:
            self.has_table[::3] = False
            self.has_kind[1::5] = False
            self.has_size[2::4] = False

    def with_tables(self, *rows: int) -> Cohort:
        """The cohort, in which only these cases have a table."""
        self.has_table[:] = False
        self.has_table[list(rows)] = True
        return self

    def __len__(self) -> int:
        return len(self.ids)

    def __getitem__(self, index: int) -> Case:
        table = self.tables[index] if self.has_table[index] else torch.zeros(3)
        return {
            "index": index,
            "inputs": {"scan": self.scans[index], "table": table},
            "present": {"scan": True, "table": bool(self.has_table[index])},
            "targets": {"kind": self.kinds[index], "size": self.tables[index, :1] * 2},
            "target_present": {"kind": bool(self.has_kind[index]), "size": bool(self.has_size[index])},
        }


class Repeated(Cohort):
    """The same cases for `unimodal`: three heads that learn one target."""

    def __getitem__(self, index: int) -> Case:
        case = super().__getitem__(index)
        names = ("kind", "by_scan", "by_table")
        return {**case, "targets": dict.fromkeys(names, case["targets"]["kind"]),
                "target_present": dict.fromkeys(names, case["target_present"]["kind"])}


class Halved(TrainingMethod):
    """Takes half of the gradient of an encoder's own head, and a mean of it that it remembers."""

    def parts(self, modality: str, view: Any) -> tuple[str, ...]:
        return (view.heads[modality],)

    def edit(self, modality: str, gradients: Any, view: Any) -> None:
        for name, own in gradients.parts[view.heads[modality]].items():
            mean = self.state.setdefault(name, torch.zeros_like(own))
            mean += own / 2
            gradients.total[name].sub_(own / 2).add_(mean)


def settings_of(settings: dict[str, Any]) -> TrainingSettings:
    """Settings that may name `training.halved`."""
    halved = Training("halved", Config, Halved, requires="heads")
    return read_settings(None, settings, discover(components=[halved]))


def unimodal(seed: int = 0, *, joint: float = 1, own: float = 0.5, **changed: dict[str, Any]) -> FusionModel:
    """The small network without dropout, with a head on each encoder in place of the second one.

    `joint` and `own` are the weights of their losses, `changed` the other keys of some nodes.
    """
    head = {"use": "head.classify", "with": {"classes": ["a", "b", "c"]}, "loss": own}
    nodes = {**NETWORK["nodes"], "by_scan": {**head, "from": "eyes"}, "by_table": {**head, "from": "clinic"}}
    del nodes["size"]
    nodes["kind"] = {**nodes["kind"], "loss": joint}
    for name in nodes:
        nodes[name] = {**nodes[name], **STILL.get(name, {}), **changed.get(name, {})}
    return fusionkit.build({**NETWORK, "nodes": nodes}, seed=seed)


FUSIONS: dict[str, dict[str, Any]] = {
    "mean": {}, "gmu": {"width": 7}, "cross_attention": {"heads": 1}, "medfuse": {"width": 7}, "film": {},
}
"""Fusions of the image's and the table's features, and their options."""


def fused(name: str) -> dict[str, dict[str, Any]]:
    """The nodes of the still network around another fusion, with batch norm where rows may be absent."""
    return {**STILL, "both": {"use": f"fusion.{name}", "with": FUSIONS[name]},
            "clinic": {"use": "encoder.project", "with": {"width": 7, "norm": "batch"}}}


STILL: dict[str, dict[str, Any]] = {
    "eyes": {"with": {"widths": [5, 7], "norm": "group"}}, "clinic": {"with": {"width": 7, "hidden": [11]}},
}
"""Options without dropout: what a step gives then does not depend on how its cases are divided."""


def weights(model: FusionModel) -> dict[str, torch.Tensor]:
    """A copy of everything that a network has learnt or counted."""
    return {name: value.detach().clone() for name, value in model.state_dict().items()}


def differing(left: dict[str, torch.Tensor], right: dict[str, torch.Tensor]) -> list[str]:
    """The names of the tensors that are not equal bit for bit."""
    assert left.keys() == right.keys()
    return [name for name in left if not torch.equal(left[name], right[name])]


def losses(rows: list[dict[str, Any]]) -> list[float]:
    """Every loss and accuracy of a history, in order."""
    return [value for row in rows for name, value in row.items() if "loss" in name or "accuracy" in name]
