"""How far exported networks are from their runs, in predictions.csv, and how long a prediction takes to start.

    OMP_NUM_THREADS=1 python benchmarks/export.py [--cases 42]

Five small networks are trained for an epoch on numbers without meaning and exported as ONNX: images, volumes beside a
table, a table alone, optional inputs of which one has masked tokens, and survival beside labels. Printed is the largest
difference between run and export, of values and in `predictions.csv`, which has six digits. At most 1e-5 is allowed.
"""

from __future__ import annotations

import argparse
import csv
import io
import sys
import tempfile
import time
from collections.abc import Sequence
from contextlib import redirect_stdout
from pathlib import Path
from typing import Any

import numpy as np

import fusionkit
from fusionkit.cli.parser import main as command

HEAD = "kind: {use: head.classify, from: both, with: {classes: [no, yes], hidden: [7]}}"
TABLE = "{read: columns, numeric: [a, b], categorical: [site]}"
GRAPHS: dict[str, tuple[str, str, str]] = {
    "images (2D)": ("scan: {image: [2, 19, 23]}",
                    "both: {use: encoder.conv, from: scan, with: {widths: [5, 7], output: pooled}}", HEAD),
    "volumes (3D) and a table": (
        "scan: {volume: [1, 7, 11, 13]}, lab: {vector: [3]}",
        "seen: {use: encoder.conv, from: scan, with: {widths: [5, 7], output: pooled}}\n"
        "  told: {use: encoder.mlp, from: lab, with: {width: 7}}\n"
        "  both: {use: fusion.gmu, from: [seen, told], with: {width: 11}}", HEAD),
    "a table": ("lab: {vector: [3]}",
                "both: {use: encoder.mlp, from: lab, with: {width: 11, hidden: [13]}}", HEAD),
    "optional inputs, masked tokens": (
        "lab: {vector: [3], optional: true}, notes: {tokens: [null, 5], max: 20, optional: true}",
        "told: {use: encoder.mlp, from: lab, with: {width: 8}}\n"
        "  read: {use: encoder.project, from: notes, with: {width: 8}}\n"
        "  pooled: {use: fusion.attention_pool, from: read}\n"
        "  both: {use: fusion.concat, from: [told, pooled], with: {availability: true}}", HEAD),
    "survival and labels": (
        "lab: {vector: [3]}", "both: {use: encoder.mlp, from: lab, with: {width: 11}}",
        "death: {use: head.cox, from: both, with: {horizons: [1, 3]}}\n"
        "  signs: {use: head.multilabel, from: both, with: {labels: [cough, fever]}}"),
}
INPUTS = {"lab": TABLE, "scan": '{read: numpy, path: "{scan}"}', "notes": '{read: numpy, path: "{notes}"}'}
TARGETS = {"kind": "{column: kind}", "death": "{time: months, event: died, unit: months}",
           "signs": "{columns: [cough, fever]}"}


def write_study(folder: Path, graph: tuple[str, str, str], count: int) -> None:
    """Graph, data file, table and arrays; every fifth case lacks optional inputs."""
    inputs, nodes, heads = graph
    (folder / "graph.yaml").write_text(
        f"fusionkit: 1\nname: small\ninputs: {{{inputs}}}\nnodes:\n  {nodes}\n  {heads}\n"
        "training: {epochs: 1, batch_size: 8, device: cpu, hold_out: 0}\n")
    read = [f"  {name}: {text}" for name, text in INPUTS.items() if f"{name}: {{" in inputs]
    wanted = [f"  {name}: {text}" for name, text in TARGETS.items() if f"{name}: " in heads]
    (folder / "data.yaml").write_text("\n".join([
        "fusionkit-data: 1", "cases: cases.csv", "id: id", "split: {column: split}", "inputs:", *read, "targets:",
        *wanted, ""]))
    rng = np.random.default_rng(0)
    rows = [case_of(folder, number, inputs, rng) for number in range(count)]
    with (folder / "cases.csv").open("w", newline="") as stream:
        sheet = csv.DictWriter(stream, list(rows[0]))
        sheet.writeheader()
        sheet.writerows(rows)


def case_of(folder: Path, number: int, inputs: str, rng: np.random.Generator) -> dict[str, Any]:
    """A row of the table; its arrays are written."""
    lacks, truth = "optional" in inputs and number % 5 == 3, number % 2
    sizes = [int(part) for part in inputs.partition("[")[2].partition("]")[0].split(", ") if part.isdecimal()]
    row: dict[str, Any] = {"id": f"c{number}", "split": "test" if number % 3 == 2 else "train",
                           "a": "" if lacks else f"{rng.normal(truth):.3f}",
                           "b": "" if lacks else f"{rng.normal(-truth):.3f}",
                           "site": "" if lacks else "ns"[number % 3 > 0], "kind": ("no", "yes")[truth],
                           "months": f"{rng.uniform(0.5, 5):.2f}", "died": int(number % 3 != 1),
                           "cough": truth, "fever": number // 2 % 2, "scan": "", "notes": ""}
    if "scan" in inputs:
        row["scan"] = f"{number}.npy"
        np.save(folder / row["scan"], rng.normal(truth, 1, sizes).astype(np.float32))
    elif "notes" in inputs and number % 5 != 2:
        row["notes"] = f"{number}.npy"
        np.save(folder / row["notes"], rng.normal(truth, 1, (1 + number % 7, 5)).astype(np.float32))
    return row


def predicted(folder: Path, run: str) -> tuple[list[list[str]], float]:
    """predictions.csv of a run or of an exported network, and the seconds it took."""
    start = time.perf_counter()
    made = fusionkit.predict(folder / run, folder / "data.yaml", output=folder / f"{run}.csv", quiet=True)
    header, rows = made.table()
    return [header, *rows], time.perf_counter() - start


def apart(one: Sequence[Sequence[str]], other: Sequence[Sequence[str]]) -> float:
    """The largest difference between the numbers of two tables; infinite where a text differs.

    Of numbers above 1 the difference is relative: the tables have six digits.
    """
    largest = 0.0
    for left, right in zip(one, other, strict=True):
        for a, b in zip(left, right, strict=True):
            if a != b:
                try:
                    largest = max(largest, abs(float(a) - float(b)) / max(1.0, abs(float(a))))
                except ValueError:
                    largest = float("inf")
    return largest


def main() -> None:
    """Train, export, compare, and print a table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cases", type=int, default=42)
    args = parser.parse_args()
    print(f"{'network':32} {'opset':>5} {'values':>9} {'predictions.csv':>16} {'export s':>9} {'run s':>7} "
          f"{'onnx s':>7}")
    for name, graph in GRAPHS.items():
        with tempfile.TemporaryDirectory() as place:
            folder = Path(place)
            write_study(folder, graph, args.cases)
            said = io.StringIO()
            with redirect_stdout(said):
                code = command(["train", *(str(folder / name) for name in ("graph.yaml", "data.yaml")), "-o",
                                str(folder / "run")])
            if code:
                sys.exit(said.getvalue())
            start = time.perf_counter()
            made = fusionkit.export(folder / "run", folder / "exported", quiet=True)
            took = time.perf_counter() - start
            (wanted, of_run), (found, of_onnx) = predicted(folder, "run"), predicted(folder, "exported")
            assert made.record.parity is not None
            values = max(made.record.parity.values.values())
            print(f"{name:32} {made.record.opset:5} {values:9.2g} {apart(wanted, found):16.2g} {took:9.1f} "
                  f"{of_run:7.2f} {of_onnx:7.2f}", flush=True)


if __name__ == "__main__":
    main()
