"""A study that trains in a second: a table of 24 cases in train, validation and test, and a graph of two layers."""

from __future__ import annotations

from pathlib import Path

import numpy as np

GRAPH = """\
fusionkit: 1
name: small
inputs: {table: {vector: [2]}}
nodes:
  told: {use: encoder.mlp, from: table, with: {width: 3, hidden: []}}
  result: {use: head.classify, from: told, with: {classes: ["no", "yes"], dropout: 0.1}}
uncertainty: {use: uncertainty.mc_dropout, with: {samples: 2}}
training: {epochs: 2, batch_size: 8, learning_rate: 0.01, device: cpu, checkpoint_steps: 1}
"""
DATA = """\
fusionkit-data: 1
cases: cases.csv
id: id
split: {column: split}
inputs:
  table: {read: columns, numeric: [a, b]}
targets:
  result: {column: result}
"""


def write_study(folder: Path, ids: list[str] | None = None) -> tuple[str, str]:
    """Write it and give the paths of graph and data."""
    rng = np.random.default_rng(3)
    names = ids or [f"c{case}" for case in range(24)]
    lines = ["id,a,b,result,split"]
    for case, name in enumerate(names):
        label, part = case % 2, ("train", "train", "validation", "test")[case // 2 % 4]
        quoted = '"' + name.replace('"', '""') + '"'
        lines.append(f"{quoted},{rng.normal(label):.3f},{rng.normal(-label):.3f},{('no', 'yes')[label]},{part}")
    (folder / "cases.csv").write_text("\n".join(lines) + "\n", encoding="utf-8")
    (folder / "data.yaml").write_text(DATA, encoding="utf-8")
    (folder / "graph.yaml").write_text(GRAPH, encoding="utf-8")
    return str(folder / "graph.yaml"), str(folder / "data.yaml")
