"""A linear Cox network beside lifelines on a public cohort: Rossi, Berk and Lenihan 1980, arrest after release."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
from fusionkit_plugins.blocks.survival import concordance
from lifelines import CoxPHFitter
from lifelines.datasets import load_rossi
from small_study import without_plots as without_plots

import fusionkit


def test_a_linear_network_ranks_as_lifelines_does(tmp_path: Path) -> None:
    table = load_rossi()
    tested = np.arange(len(table)) % 3 == 0
    table.assign(id=[f"p{row}" for row in range(len(table))],
                 part=np.where(tested, "test", "train")).to_csv(tmp_path / "cases.csv", index=False)
    (tmp_path / "data.yaml").write_text("""\
fusionkit-data: 1
cases: cases.csv
id: id
split: {column: part}
inputs:
  person: {read: columns, numeric: [fin, age, race, wexp, mar, paro, prio]}
targets:
  arrest: {time: week, event: arrest, unit: weeks}
""")
    graph = {"fusionkit": 1, "name": "linear", "inputs": {"person": {"vector": [7]}}, "nodes": {
        "arrest": {"use": "head.cox", "from": "person", "with": {"horizons": [26, 51]}}},
        "training": {"optimiser": "adam", "epochs": 40, "batch_size": 72, "accumulate": 4, "learning_rate": 0.05,
                     "hold_out": 0.0}}
    fusionkit.train(graph, tmp_path / "data.yaml", output=tmp_path / "run", seed=0, threads=1, quiet=True)
    with (tmp_path / "run" / "predictions.csv").open(newline="") as file:
        rows = {row["id"]: float(row["arrest:risk"]) for row in csv.DictReader(file)}
    fitted = CoxPHFitter().fit(table[~tested], "week", "arrest")
    time, event = table.week[tested].to_numpy(float), table.arrest[tested].to_numpy() == 1
    once = np.ones((int(tested.sum()), 1))
    own = concordance(np.array([rows[f"p{row}"] for row in np.flatnonzero(tested)]), time, event, once, once)[0]
    theirs = concordance(fitted.predict_log_partial_hazard(table[tested]).to_numpy(), time, event, once, once)[0]
    assert theirs > 0.55 and abs(own - theirs) < 0.01
