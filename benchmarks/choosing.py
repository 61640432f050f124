"""The forms that docs/choosing.md compares: late fusion, linear graphs, the linear path, and flattened grids.

Run: python benchmarks/choosing.py [--part tables|images] [--draws N] [--record FILE]

Tables: in each draw, so many training cases are taken by lot from a public table of benchmarks/tables.py, and up to 500
of the others are tested. The graphs differ in what lies between inputs and head:

    concat  encoder.mlp for each group of columns, fusion.concat, a linear layer
    late    encoder.mlp for each, a linear layer to the scores for each, fusion.late_mean
    linear  encoder.project to the scores for each, fusion.sum: a linear model
    path    as concat, and fusion.linear_path from the columns to the scores

beside scikit-learn's logistic or ridge regression. Columns are standardised by the training cases. Images: the digits
of 8x8 pixels, and the demo's cubes of CT (9 a side, whole blocks of the body in either part), by `encoder.conv` and
one of two ends: `mean` over the last map (encoder.pool), or `flat` (encoder.flatten).

Each figure is the mean over the draws: accuracy (R2 for a measurement), in brackets the log loss (the squared error as
a share of the variance). Training is that of `hold_out: folds`, `steps: 1000` in memory, without files: five networks,
each learns from four of five folds by AdamW (rate 0.001 to 0 by a cosine, batches of 32), keeps the weights that are
best on the fifth, compared every 10 steps, and stops after 250 steps without a better one; their mean predicts.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn import datasets
from sklearn.linear_model import LogisticRegression, Ridge
from tables import tables
from torch import Tensor

from fusionkit.datasets.organs import ORGANS, WINDOW, load_cubes
from fusionkit.network.build import build_plan, plan
from fusionkit.registry.lookup import Registry, discover
from fusionkit.training.optimiser import learning_rate, make_optimiser, set_rate
from fusionkit.training.settings import TrainingSettings

TESTED = 500
"""The most test cases of a draw."""
FOLDS, STEPS, BATCH, CHECK = 5, 1000, 32, 10
DRAWN = (("digits", 48), ("digits", 200), ("breast cancer", 60), ("wine", 40), ("diabetes", 100))
PICTURES = (("digits", 100), ("organs", 300))
Graph = dict[str, Any]
Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Cases:
    """Training and test cases of one draw: inputs by name, and targets; `classes` is 0 for a measurement."""

    train: Mapping[str, Tensor]
    test: Mapping[str, Tensor]
    target: Tensor
    truth: Tensor
    classes: int

    @property
    def outputs(self) -> int:
        """How many scores a case has."""
        return self.classes or 1


def head(cases: Cases, source: str, layer: str = "linear") -> Graph:
    """A head on a node: classes, or one measured value."""
    if cases.classes:
        names = {"classes": [f"class{number}" for number in range(cases.classes)]}
        return {"use": "head.classify", "from": source, "with": {**names, "layer": layer}}
    return {"use": "head.regress", "from": source, "with": {"values": ["value"], "layer": layer}}


def table_graphs(cases: Cases) -> dict[str, Graph]:
    """The forms by name."""
    groups = list(cases.train)
    encoded = {"use": "encoder.mlp", "from": groups, "each": True}
    scores = {"use": "encoder.project", "with": {"width": cases.outputs}}
    space = "prob" if cases.classes else "logit"
    fused = {"use": "fusion.concat", "from": "encoded"}
    forms: dict[str, Graph] = {
        "concat": {"encoded": encoded, "fused": fused, "result": head(cases, "fused")},
        "late": {"encoded": encoded, "scores": {**scores, "from": "encoded", "each": True},
                 "fused": {"use": "fusion.late_mean", "from": "scores", "with": {"space": space}}},
        "linear": {"scores": {**scores, "from": groups, "each": True},
                   "fused": {"use": "fusion.sum", "from": "scores"}},
        "path": {"encoded": encoded, "joined": fused, "scores": {**scores, "from": "joined"},
                 "fused": {"use": "fusion.linear_path", "from": {"deep": "scores", "views": groups}}},
    }
    inputs = {name: {"vector": [values.shape[1]]} for name, values in cases.train.items()}
    return {name: {"fusionkit": 1, "inputs": inputs, "nodes": {"result": head(cases, "fused", "none"), **nodes}}
            for name, nodes in forms.items()}


def picture_graphs(cases: Cases) -> dict[str, Graph]:
    """The graphs by the end of the image's encoder."""
    sizes = list(cases.train["picture"].shape[1:])
    layout, widths = ("image", [16, 32]) if len(sizes) == 3 else ("volume", [16, 32, 64])
    conv = {"use": "encoder.conv", "with": {"widths": widths, "blocks": 0, "output": "map"}}
    return {name: {"fusionkit": 1, "inputs": {"picture": {layout: sizes}}, "nodes": {
        "seen": {"chain": [conv, {"use": end}], "from": "picture"}, "result": head(cases, "seen")}}
        for name, end in (("mean", "encoder.pool"), ("flat", "encoder.flatten"))}


def learned(graph: Graph, cases: Cases, registry: Registry) -> Floats:
    """What five networks on five folds predict of the test cases on average: (cases, classes or 1)."""
    found = plan(graph, registry=registry, measured=False)
    random = np.random.default_rng(0)
    keys = cases.target.numpy() if cases.classes else np.zeros(len(cases.target))
    order = np.lexsort((random.random(len(keys)), keys))
    fold = np.empty(len(keys), dtype=int)
    fold[order] = np.arange(len(keys)) % FOLDS
    total: Tensor = torch.zeros(len(cases.truth), cases.outputs)
    for member in range(FOLDS):
        network = build_plan(found, member)
        torch.manual_seed(member)
        own, held = (torch.from_numpy(np.flatnonzero(mask)) for mask in (fold != member, fold == member))
        _fit(network, cases, own, held)
        with torch.no_grad():
            total += network.head("result").decode(network.eval()(cases.test)["result"]) / FOLDS
    return total.numpy().astype(np.float64)


def _fit(network: Any, cases: Cases, own: Tensor, held: Tensor) -> None:
    """Train one network, and leave it with its best weights."""
    count = -(-len(own) // BATCH)
    settings = TrainingSettings(epochs=max(50, -(-STEPS // count)))
    optimiser, steps = make_optimiser(network, settings), settings.epochs * count
    least, best, kept = float("inf"), 0, network.state_dict()
    for step in range(steps):
        if step % count == 0:
            mixed = own[torch.randperm(len(own))]
        rows = mixed[step % count * BATCH :][:BATCH]
        if len(rows) > 1:  # a batch of one case has no batch statistics
            set_rate(optimiser, learning_rate(settings, step, count))
            optimiser.zero_grad()
            _loss(network.train(), cases, rows).backward()
            optimiser.step()
        if (step + 1) % CHECK == 0:
            with torch.no_grad():
                loss = float(_loss(network.eval(), cases, held))
            if loss < least:
                least, best, kept = loss, step, {name: value.clone() for name, value in network.state_dict().items()}
            if step - best >= steps // 4:
                break
    network.load_state_dict(kept)


def _loss(network: Any, cases: Cases, rows: Tensor) -> Any:
    output = network({name: values[rows] for name, values in cases.train.items()})["result"]
    return network.head("result").loss(output, cases.target[rows]).mean()


def score(cases: Cases, found: Floats) -> tuple[float, float]:
    """Accuracy and log loss, or R2 and the squared error as a share of the variance."""
    truth = cases.truth.numpy()
    if not cases.classes:
        error = float(np.mean((truth - found) ** 2) / truth.var())
        return 1 - error, error
    shares = found[range(len(truth)), truth].clip(1e-7)
    return float(np.mean(truth == found.argmax(1))), float(-np.log(shares).mean())


def parts(count: int, cases: int, draw: int, blocks: NDArray[Any] | None = None) -> tuple[Any, Any]:
    """Training and test rows by lot; no block has rows in both."""
    random = np.random.default_rng(draw)
    order = random.permutation(cases)
    if blocks is None:
        return order[:count], order[count : count + TESTED]
    names = random.permutation(np.unique(blocks))
    taught = np.isin(blocks[order], names[: len(names) // 2])
    return order[taught][:count], order[~taught][:TESTED]


def table_cases(name: str, count: int, draw: int) -> tuple[Cases, Floats]:
    """One draw of a table, and what scikit-learn's linear model predicts of its test cases."""
    table = tables()[name]
    train, test = parts(count, len(table.values), draw)
    spread = table.values[train].std(axis=0)
    values = (table.values - table.values[train].mean(axis=0)) / np.where(spread > 0, spread, 1.0)
    target = table.target
    if not table.classes:
        target = ((target - target[train].mean()) / target[train].std())[:, None]
    model = (LogisticRegression(max_iter=10_000) if table.classes else Ridge()).fit(values[train], target[train])
    shares = np.zeros((len(test), len(table.classes) or 1))
    if table.classes:
        shares[:, model.classes_] = model.predict_proba(values[test])
    else:
        shares[:] = model.predict(values[test]).reshape(-1, 1)
    columns = {group: torch.from_numpy(values[:, list(members)].astype(np.float32))
               for group, members in table.groups.items()}
    return _cases(columns, target, train, test, len(table.classes)), shares


def picture_cases(name: str, count: int, draw: int) -> Cases:
    """One draw of the digits, or of the demo's cubes."""
    if name == "digits":
        digits = datasets.load_digits()
        arrays, target, blocks, classes = digits.images[:, None] / 16, digits.target, None, 10
    else:
        cubes, (low, high) = load_cubes(), WINDOW
        arrays = (cubes["cubes"][:, None].astype(np.float64).clip(low, high) - low) / (high - low)
        target, blocks, classes = cubes["label"].astype(np.int64), cubes["block"], len(ORGANS)
    train, test = parts(count, len(arrays), draw, blocks)
    return _cases({"picture": torch.from_numpy(arrays.astype(np.float32))}, target, train, test, classes)


def _cases(inputs: Mapping[str, Tensor], target: NDArray[Any], train: Any, test: Any, classes: int) -> Cases:
    wanted = torch.from_numpy(target.astype(np.int64 if classes else np.float32))
    return Cases({name: values[train] for name, values in inputs.items()},
                 {name: values[test] for name, values in inputs.items()}, wanted[train], wanted[test], classes)


def report(title: str, draws: list[dict[str, tuple[float, float]]], seconds: float) -> dict[str, Any]:
    """Print one line of a table, the means over the draws; gives the figures."""
    found = {name: np.mean([draw[name] for draw in draws], axis=0) for name in draws[0]}
    cells = " | ".join(f"{quality:.3f} ({loss:.2f})" for quality, loss in found.values())
    print(f"| {title} | {cells} | {seconds:.0f} |", flush=True)
    return {"seconds": round(seconds), **{name: values.tolist() for name, values in found.items()}}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--part", choices=("tables", "images"), help="only this one (default: both)")
    parser.add_argument("--draws", type=int, default=2, help="draws of training cases (default 2)")
    parser.add_argument("--record", type=Path, help="write the figures to this file too, as JSON")
    args = parser.parse_args()
    torch.set_num_threads(1)
    registry, made = discover(), {}
    if args.part != "images":
        print("| table | cases x columns | scikit-learn | concat | late | linear | path | seconds |\n"
              + "| --- " * 8 + "|")
        for name, count in DRAWN:
            begun, draws = time.perf_counter(), []
            for draw in range(args.draws):
                cases, linear = table_cases(name, count, draw)
                draws.append({"scikit-learn": score(cases, linear)}
                             | {form: score(cases, learned(graph, cases, registry))
                                for form, graph in table_graphs(cases).items()})
            columns = sum(values.shape[1] for values in cases.train.values())
            made[f"{name} {count}"] = report(f"{name} | {count} x {columns}", draws, time.perf_counter() - begun)
    if args.part != "tables":
        print("| images | cases | mean | flat | seconds |\n" + "| --- " * 5 + "|")
        for name, count in PICTURES:
            begun, draws = time.perf_counter(), []
            for draw in range(args.draws):
                cases = picture_cases(name, count, draw)
                draws.append({end: score(cases, learned(graph, cases, registry))
                              for end, graph in picture_graphs(cases).items()})
            made[f"images {name} {count}"] = report(f"{name} | {count}", draws, time.perf_counter() - begun)
    if args.record:
        args.record.write_text(json.dumps(made, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
