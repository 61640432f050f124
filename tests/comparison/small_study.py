"""A cohort of tables and a graph that fuses two of them, small enough to train in a second."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np

GRAPH = """\
fusionkit: 1
name: small
inputs:
  lab: {vector: [3]}
  scan: {vector: [5], optional: true}
nodes:
  told: {use: encoder.mlp, from: lab, with: {width: 7, hidden: [11]}}
  seen: {use: encoder.mlp, from: scan, with: {width: 7, hidden: [11]}}
  both: {use: fusion.concat, from: [told, seen], with: {availability: true}}
  result: {use: head.classify, from: both, with: {classes: [no, yes]}}
training: {epochs: 2, batch_size: 16, learning_rate: 0.01}
"""
DATA = """\
fusionkit-data: 1
cases: cases.csv
id: id
patient: patient
split: {column: split}
inputs:
  lab: {read: columns, numeric: [a, b, c]}
  scan: {read: columns, numeric: [d, e, f, g], categorical: [site]}
targets:
  result: {column: result}
"""


def write_study(folder: Path, graph: str = GRAPH, data: str = DATA) -> tuple[str, str]:
    """Sixty-six cases of thirty-three patients, a sixth of them without a scan; the paths of graph and data."""
    rng = np.random.default_rng(7)
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "cases.csv").open("w", newline="") as stream:
        sheet = csv.writer(stream)
        sheet.writerow(["id", "patient", "a", "b", "c", "d", "e", "f", "g", "site", "result", "split"])
        for case in range(66):
            label = (case // 2) % 2
            lab = [f"{value:.3f}" for value in rng.normal(label, 1.5, 3)]
            scan = [f"{value:.3f}" for value in rng.normal(label, 1.5, 4)] + ["north" if case % 5 else "south"]
            part = "test" if case // 2 % 3 == 2 else "train"
            sheet.writerow([f"c{case}", f"p{case // 2}", *lab, *([""] * 5 if case % 6 == 5 else scan),
                            ["no", "yes"][label], part])
    (folder / "graph.yaml").write_text(graph)
    (folder / "data.yaml").write_text(data)
    return str(folder / "graph.yaml"), str(folder / "data.yaml")
