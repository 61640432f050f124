"""Folders with the files of runs and comparisons, written by hand."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

GRAPH = """\
fusionkit: 1
name: small
inputs: {lab: {vector: [3]}}
nodes:
  told: {use: encoder.mlp, from: lab, with: {width: 7}}
  result: {use: head.classify, from: told, with: {classes: [a, b]}}
training: {epochs: 2}
"""


def metrics(auroc: float, cases: int = 41) -> dict[str, Any]:
    """What an evaluation writes, of one head with two metrics."""
    return {"fusionkit-metrics": 1, "network": "small", "heads": {"result": {
        "task": "multiclass", "counts": {"cases": cases}, "labels": {"auroc": "AUROC", "f1": "F1"},
        "metrics": {"auroc": {"value": auroc, "low": auroc - 0.1, "high": auroc + 0.1, "note": None},
                    "f1": {"value": None, "low": None, "high": None, "note": "no case is positive"}}}}}


def make_run(folder: Path, *, auroc: float | None = 0.75, graph: str = GRAPH, when: float = 1e9, done: bool = True,
             cases: dict[str, str] | None = None, folds: list[list[str]] | None = None) -> Path:
    """The files of a run; without `auroc` it is not evaluated, without `done` not finished."""
    folder.mkdir(parents=True)
    (folder / "graph.yaml").write_text(graph)
    (folder / "data.yaml").write_text("fusionkit-data: 1\ncases: cases.csv\n")
    (folder / "history.csv").write_text("epoch,train_loss\n1,0.7\n2,0.5\n")
    (folder / "lock.json").write_text('{"packages": {"torch": "2.14.1"}}')
    record = {"fusionkit-cases": 1, "parts": {} if folds else {"test": list(cases or {})}, "folds": folds or [],
              "cases": cases or {}}
    (folder / "cases.json").write_text(json.dumps(record))
    if done:
        (folder / "run.json").write_text('{"fusionkit-run": 1, "data": "data.yaml", "test": []}')
    if auroc is not None:
        (folder / "metrics.json").write_text(json.dumps(metrics(auroc)))
    for path in folder.iterdir():
        os.utime(path, (when, when))
    return folder
