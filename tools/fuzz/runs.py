"""Finished and interrupted runs, whose files are damaged, replaced or removed: used again by every command."""

from __future__ import annotations

import contextlib
import csv
import io
import json
import os
import shutil
import struct
from collections.abc import Callable
from pathlib import Path
from random import Random
from typing import Any

from tools.fuzz.mutations import damaged, garbled, mangled
from tools.fuzz.steps import Step, command

GRAPH = """\
fusionkit: 1
name: small
inputs: {table: {vector: auto}, kind: {vector: [1]}}
nodes:
  told: {use: encoder.mlp, from: table, with: {width: 3, hidden: []}}
  seen: {use: encoder.embed, from: kind, with: {categories: auto, width: 2}}
  both: {use: fusion.concat, from: [told, seen]}
  result: {use: head.classify, from: both, with: {classes: ["no", "yes"], dropout: 0.1}}
uncertainty: {use: uncertainty.mc_dropout, with: {samples: 2}}
training: {epochs: 2, batch_size: 8, learning_rate: 0.01, device: cpu, checkpoint_steps: 1, threads: 1}
"""
DATA = """\
fusionkit-data: 1
cases: cases.csv
id: id
split: SPLIT
inputs:
  table: {read: columns, numeric: [a, b]}
  kind: {read: columns, categorical: [s]}
targets:
  result: {column: result}
"""
SPLITS = {"run": "{column: split}", "folds": "{folds: 2, seed: 0}"}
CASES = 32
DEEP = b"[" * 100_000


def prepare(material: Path) -> None:
    """Train one run, calibrate it, and train one with two folds."""
    _write_cases(material / "cases.csv")
    (material / "graph.yaml").write_text(GRAPH, encoding="utf-8")
    for name, split in SPLITS.items():
        data = material / f"{name}.yaml"
        data.write_text(DATA.replace("SPLIT", split), encoding="utf-8")
        _must("train", str(material / "graph.yaml"), str(data), "-o", str(material / name))
    _must("calibrate", str(material / "run"))
    for picture in [path for path in material.rglob("*") if path.suffix in (".png", ".svg")]:
        picture.unlink()


def _write_cases(path: Path) -> None:
    draw = Random(7)  # noqa: S311 - made cases
    with path.open("w", newline="", encoding="utf-8") as stream:
        rows = csv.writer(stream)
        rows.writerow(["id", "a", "b", "s", "result", "split"])
        for case in range(CASES):
            label, part = case % 2, ("train", "train", "validation", "test")[case // 2 % 4]
            rows.writerow([f"c{case}", f"{draw.gauss(label, 1):.3f}", f"{draw.gauss(-label, 1):.3f}",
                           "mf"[case // 2 % 2], ("no", "yes")[label], part])


def _must(*words: str) -> None:
    from fusionkit.cli.parser import main

    _without_pictures()
    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()) as errors:
        code = main(list(words))
    assert code == 0, errors.getvalue()


def _without_pictures() -> None:
    """The plots of an evaluation take most of its time, and read nothing from a run's folder."""
    from fusionkit.evaluation import report_files

    report_files.draw_figures = lambda report, folder: []  # type: ignore[assignment]


def make(draw: Random, material: Path, folder: Path) -> list[Step]:
    """A copy of a run with one to three files changed, and a command that uses it."""
    _without_pictures()
    run = draw.choice(("run", "run", "run", "folds"))
    for name in ("cases.csv", "graph.yaml", f"{run}.yaml"):
        shutil.copy(material / name, folder / name)
    shutil.copytree(material / run, folder / run)
    _move(folder / run, material, folder)
    words = _words(draw, run)
    if "--resume" in words and draw.random() < 0.7:  # as if it had been killed
        for done in (folder / run).rglob("run.json"):
            done.unlink()
    files = sorted(path for path in (folder / run).rglob("*") if path.is_file())
    for path in draw.sample(files, draw.choice((1, 1, 1, 2, 3))):
        draw.choice((_damage, _damage, _damage, _damage, _replace))(draw, path)
    return [command(*words, *(["--json"] if draw.random() < 0.5 else []))]


def _words(draw: Random, run: str) -> list[str]:
    chance, data = draw.random(), f"{run}.yaml"
    if chance < 0.45:
        return ["predict", run, data, *draw.choice(([], [], ["--samples", "2"], ["--fold", "1"]))]
    if chance < 0.75:
        return ["train", "graph.yaml", data, "-o", run, "--resume", *draw.choice(([], [], ["--epochs", "3"]))]
    if chance < 0.85:
        return ["calibrate", run]
    return ["evaluate", run, *draw.choice(([], [data]))] if chance < 0.95 else ["explain", run]


def _move(run: Path, before: Path, now: Path) -> None:
    """Runs name their data file by its whole path."""
    for path in run.rglob("*.json"):
        text = path.read_text(encoding="utf-8")
        if str(before) in text:
            path.write_text(text.replace(str(before), str(now.resolve())), encoding="utf-8")


def _damage(draw: Random, path: Path) -> None:
    """Change the content of a file in its own terms, or byte by byte."""
    content = path.read_bytes()
    forms: dict[str, Callable[[Random, bytes], bytes]] = {
        ".json": _as_json, ".safetensors": _as_tensors, ".yaml": _as_text, ".csv": _as_text}
    form = forms.get(path.suffix)
    path.write_bytes(form(draw, content) if form and draw.random() < 0.85 else damaged(draw, content))


def _as_json(draw: Random, content: bytes) -> bytes:
    # Unlike YAML, it is read with characters that no encoding has.
    return json.dumps(mangled(draw, json.loads(content))).encode()


def _as_text(draw: Random, content: bytes) -> bytes:
    return garbled(draw, content.decode()).encode("utf-8", "surrogatepass")


def _as_tensors(draw: Random, content: bytes) -> bytes:
    """Weights whose header or whose numbers say something else."""
    (length,) = struct.unpack("<Q", content[:8])
    header, body = content[8 : 8 + length], content[8 + length :]
    if draw.random() < 0.3:
        return content[: 8 + length] + _numbers(draw, body)
    about: Any = mangled(draw, json.loads(header))
    changed = json.dumps(about).encode()
    stated = len(changed) if draw.random() < 0.9 else draw.choice((0, 1 << 62, len(changed) + 9, 99_000_000))
    return struct.pack("<Q", stated) + changed + body


def _numbers(draw: Random, body: bytes) -> bytes:
    """A few 32-bit numbers that are infinite, no number, huge or none."""
    changed = bytearray(body)
    for _ in range(draw.choice((1, 3, 9))):
        place = draw.randrange(len(changed) // 4) * 4
        changed[place : place + 4] = struct.pack("<f", draw.choice((float("nan"), float("inf"), 3e38, -3e38, 0, 1e-45)))
    return bytes(changed)


def _replace(draw: Random, path: Path) -> None:
    """Put something else in the place of a file, or nothing."""
    path.unlink()
    what = draw.randrange(8)
    if what == 0:
        path.mkdir()
    elif what == 1:
        os.mkfifo(path)
    elif what == 2:
        path.symlink_to("/dev/zero")
    elif what == 3:
        path.symlink_to(path.name)
    elif what < 7:
        path.write_bytes((b"", DEEP, b'{"data": ' + b"9" * 5000 + b"}")[what - 4])
