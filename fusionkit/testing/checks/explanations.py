"""The check of an explanation: on a small network it writes what it declares, and leaves everything else as it was."""

from __future__ import annotations

import json
import random
from collections.abc import Iterator, Mapping, Sequence
from contextlib import chdir
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.utils.data import Dataset

from fusionkit.components.config import Config
from fusionkit.components.explanation import Explanation
from fusionkit.components.task import Task
from fusionkit.data.batch import Case
from fusionkit.explanation.cases import Cases
from fusionkit.explanation.network_view import NetworkView
from fusionkit.explanation.output_folder import Folder
from fusionkit.explanation.selection import ChosenCase, ExplainedHead
from fusionkit.explanation.views import RunPart, RunView
from fusionkit.inference.ensemble import Committee
from fusionkit.inference.predict import HeadResult, Settings, predict
from fusionkit.network.build import build
from fusionkit.registry.lookup import Registry, discover
from fusionkit.runs.results import joined
from fusionkit.testing.faults import Fault
from fusionkit.testing.probing.probes import one_line

_CASES = 12
_SETTINGS = Settings(batch_size=5, device="cpu")
_PICTURES, _TABLES = {".png", ".svg", ".pdf", ".jpg"}, {".csv", ".tsv"}
_IMAGE, _TABLE = {"image": [1, 11, 13]}, {"vector": [5], "optional": True}
_VISUAL = {"use": "encoder.conv", "from": "image", "with": {"widths": [4], "blocks": 0, "output": "map"}}
_POOLED = {"use": "encoder.pool", "from": "visual"}
_TABULAR = {"use": "encoder.mlp", "from": "table", "with": {"width": 6}}
_READ = {"use": "head.classify", "with": {"classes": ["first", "second", "third"]}}
_ALL: Mapping[str, Any] = {"inputs": {"image": _IMAGE, "table": _TABLE}, "nodes": {
    "visual": _VISUAL, "pooled": _POOLED, "tabular": _TABULAR,
    "fused": {"use": "fusion.gmu", "from": ["pooled", "tabular"], "with": {"width": 6}},
    "result": {**_READ, "from": "fused"},
    "value": {"use": "head.regress", "from": "fused", "with": {"values": ["length"]}}}}
_LESS: Mapping[str, Mapping[str, Any]] = {
    "of one table": {"inputs": {"table": _TABLE}, "nodes": {
        "fused": _TABULAR, "result": {**_READ, "from": "fused"}}},
    "of one image": {"inputs": {"image": _IMAGE}, "nodes": {
        "visual": _VISUAL, "fused": _POOLED, "result": {**_READ, "from": "fused"}}},
    "without gates": {"inputs": {"table": _TABLE, "other": {"vector": [3]}}, "nodes": {
        "tabular": _TABULAR, "fused": {"use": "fusion.concat", "from": ["tabular", "other"]},
        "result": {**_READ, "from": "fused"}}}}
_FOLDER = "write by run.folder.picture(draw, *parts) and run.folder.table(header, rows, *parts)"


def explanation(component: Explanation, config: Config) -> Fault | None:
    """It explains networks of two folds, alike each time, writes into its folder, and changes nothing else.

    Options that differ from the defaults are tried once, on one fold.
    """
    method = component.module(config)
    if not callable(getattr(method, "explain", None)):
        return Fault("it has no method 'explain'", "write explain(run); see fusionkit.api.ExplanationMethod")
    registry = discover()
    fields = type(config).model_fields
    changed = [name for name, field in fields.items() if not field.is_required()
               and getattr(config, name) != field.get_default(call_default_factory=True)]
    parts = [_networks(_ALL, registry, seeds) for seeds in ((0, 1), (2, 3))[:1 if changed else 2]]
    refused = _refused(method, parts[0][0])
    if refused:
        return None if changed else Fault(f"it refuses its default options: {refused}",
                                          "refuse in 'faults' only what does not fit the network")
    with TemporaryDirectory() as scratch:
        first = _explained(method, parts, Path(scratch) / "first")
        # The first time packages are imported, which may draw random numbers.
        fault = _unchanged(first, but="the random state") or _written(component, first)
        if fault or changed:
            return fault
        again = _explained(method, parts, Path(scratch) / "again")
        fault = _unchanged(again)
        if fault:
            return fault
        if first.told != again.told:
            return Fault("it gives something else a second time", "draw random numbers from run.generator, and use "
                         "run.seed for libraries that take a seed")
        return _on_less(component, method, registry, Path(scratch))


@dataclass(frozen=True)
class _Explained:
    """What a method left behind: files by name, data as text, notes; and which state of networks and process moved."""

    data: Any
    view: RunView
    around: list[str]
    moved: list[str]

    @property
    def files(self) -> dict[str, bytes]:
        """The files of its folder."""
        folder = self.view.folder.path
        return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*"))
                if path.is_file()}

    @property
    def told(self) -> tuple[Any, ...]:
        """Everything that a reader sees."""
        return self.files, json.dumps(self.data), self.view.notes, self.view.tables


def _networks(graph: Mapping[str, Any], registry: Registry, seeds: Sequence[int]) -> tuple[NetworkView, ...]:
    return tuple(NetworkView(build({"fusionkit": 1, **graph}, seed=seed), registry, _SETTINGS) for seed in seeds)


def _refused(method: Any, network: NetworkView) -> str:
    faults = getattr(method, "faults", None)
    found = list(faults(network)) if faults else []
    return found[0].render() if found else ""


def _view(parts: Sequence[tuple[NetworkView, ...]], folder: Path) -> RunView:
    plan, made, results = parts[0][0].plan, [], []
    for number, networks in enumerate(parts):
        dataset = _Cases(networks[0], number)
        found = predict(Committee(network.model for network in networks), dataset, None, _SETTINGS)
        cases = Cases(tuple(f"case {number}-{row}" for row in range(_CASES)), dataset,
                      np.ones(_CASES, dtype=np.bool_), tuple(f"patient {row // 2}" for row in range(_CASES)), found,
                      {"table": tuple(f"column {place}" for place in range(5)), "other": ("x", "y", "z")})
        made.append(RunPart(networks, cases, lambda head: np.full(len(head.names), 1 / len(head.names)),
                            start=number * _CASES, fold=number if len(parts) > 1 else None))
        results.append(found)
    every: Mapping[str, HeadResult] = joined(results) if len(results) > 1 else results[0]
    heads = tuple(ExplainedHead(head) for head in plan.heads)
    # A case of each fold, the second of which lacks an input; few, since every picture of one takes half a second.
    chosen = [ChosenCase(part.start + number, heads[number % len(heads)].name, "chosen")
              for number, part in enumerate(made)]
    whole = Cases.joined([part.cases for part in made], every)
    return RunView(tuple(made), whole, heads, tuple(chosen), Folder(folder))


def _explained(method: Any, parts: Sequence[tuple[NetworkView, ...]], folder: Path) -> _Explained:
    view = _view(parts, folder)
    outside = folder.with_name(f"{folder.name} working folder")
    outside.mkdir()
    before = _state(parts)
    with chdir(outside):
        data = method.explain(view)
    after = _state(parts)
    around = [str(path.relative_to(folder.parent)) for path in sorted(outside.rglob("*"))]
    around += [name for name in (str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())
               if name not in view.folder.files]
    return _Explained(data, view, around, [name for name in before if before[name] != after[name]])


def _state(parts: Sequence[tuple[NetworkView, ...]]) -> dict[str, Any]:
    """What an explanation must leave as it is, by what it is called."""
    modules: list[nn.Module] = [network.model for networks in parts for network in networks]
    inner = [part for module in modules for part in module.modules()]
    parameters = [parameter for module in modules for parameter in module.parameters()]
    tensors = [tensor for module in modules for tensor in module.state_dict().values()]
    return {"weights or buffers": [tensor.numpy().tobytes() for tensor in tensors],
            "the mode of a module": [part.training for part in inner],
            "the hooks of a module": [(len(part._forward_hooks), len(part._forward_pre_hooks),
                                       len(part._backward_hooks)) for part in inner],
            "which weights are trained": [parameter.requires_grad for parameter in parameters],
            "the gradients of weights": [parameter.grad is None for parameter in parameters],
            "the random state of torch": torch.get_rng_state().numpy().tobytes(),
            "the random state of numpy": str(np.random.get_state(legacy=False)),
            "the random state of Python": random.getstate(),
            "whether gradients are computed": torch.is_grad_enabled()}


def _unchanged(found: _Explained, but: str = "nothing") -> Fault | None:
    moved = [name for name in found.moved if not name.startswith(but)]
    if moved:
        return Fault(f"it changes {', '.join(moved)}", "restore what you change; take gradients with "
                     "torch.autograd.grad, and random numbers from run.generator")
    if found.around:
        return Fault(f"it writes {found.around[0]!r} beside run.folder", _FOLDER)
    return None


def _written(component: Explanation, found: _Explained) -> Fault | None:
    try:
        json.dumps(found.data, allow_nan=False)
    except (TypeError, ValueError) as error:
        return Fault(f"what it returns is no JSON: {one_line(error)}", "return lists, dicts, texts, finite numbers")
    kinds = {Path(name).suffix for name in found.files}
    for what, suffixes in (("pictures", _PICTURES), ("tables", _TABLES)):
        if bool(kinds & suffixes) != (what in component.writes):
            does = "no " if what in component.writes else ""
            return Fault(f"it declares writes={component.writes!r}, and writes {does}{what}", "declare what it writes")
    return None


def _on_less(component: Explanation, method: Any, registry: Registry, folder: Path) -> Fault | None:
    """Networks that lack something: the core says so where it is required, else the method does."""
    for what, graph in _LESS.items():
        networks = _networks(graph, registry, (0,))
        if _refused(method, networks[0]) or any(networks[0].lacks(need) for need in component.requires):
            continue
        try:
            found = _explained(method, [networks], folder / what)
        except Exception as error:
            return Fault(f"on a network {what} it ends in {one_line(error)}",
                         "declare what it needs, requires=(...), or say why there is nothing by run.note and return []")
        fault = _unchanged(found)
        if fault:
            return fault
        if not found.files and not found.view.notes:
            return Fault(f"on a network {what} it writes nothing and does not say why",
                         "declare what it needs, requires=(...), or say it by run.note")
    return None


class _Cases(Dataset[Case]):
    """Random cases; the second lacks its optional inputs, the third its targets."""

    def __init__(self, network: NetworkView, seed: int) -> None:
        generator = torch.Generator().manual_seed(seed)
        self.inputs = {value.name: torch.randn(_CASES, *value.shape.sizes, generator=generator)
                       for value in network.plan.inputs}
        self.optional = {value.name for value in network.plan.inputs if value.present is not None}
        self.heads = network.plan.heads

    def __len__(self) -> int:
        return _CASES

    def __iter__(self) -> Iterator[Case]:
        return (self[at] for at in range(_CASES))

    def __getitem__(self, at: int) -> Case:
        alone = len(self.inputs) == 1
        return {"index": at, "inputs": {name: tensor[at] for name, tensor in self.inputs.items()},
                "present": {name: alone or at != 1 or name not in self.optional for name in self.inputs},
                "targets": {head.name: _target(head.declared_task, at) for head in self.heads},
                "target_present": {head.name: at != 2 for head in self.heads}}


def _target(task: Task, at: int) -> Tensor:
    return torch.tensor(at % 3) if task.cells == "class" else torch.tensor([float(at)] * (len(task.keys) or 1))
