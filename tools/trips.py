"""Counts how far a graph and a case travel through the modules of fusionkit: `python tools/trips.py [--json]`.

For `build` of one graph, the loading of one case, `train` of one run and `compare` of three fusions it counts the
modules and the packages that control enters, how often it returns from one module to another, and from one package to
another, and how many different pairs of functions in different modules call each other. Code that an import runs does
not count. Works on earlier layouts too: it measures the fusionkit that Python imports.
"""

from __future__ import annotations

import argparse
import contextlib
import csv
import inspect
import io
import json
import random
import sys
import tempfile
import threading
from collections import Counter
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from types import FrameType
from typing import Any

GRAPH = """\
fusionkit: 1
name: small
inputs:
  lab: {vector: [3]}
  scan: {vector: [5], optional: true}
nodes:
  lab_code: {use: encoder.mlp, from: lab, with: {width: 7, hidden: [11]}}
  scan_code: {use: encoder.mlp, from: scan, with: {width: 7, hidden: [11]}}
  both: {use: fusion.concat, from: [lab_code, scan_code], with: {availability: true}}
  result: {use: head.classify, from: both, with: {classes: [no, yes]}}
training: {epochs: 2, batch_size: 16, learning_rate: 0.01}
"""
DATA = """\
fusionkit-data: 1
cases: cases.csv
id: id
split: {column: split}
inputs:
  lab: {read: columns, numeric: [a, b, c]}
  scan: {read: columns, numeric: [d, e, f, g], categorical: [site]}
targets:
  result: {column: result}
"""
ONE_CASE = """\
fusionkit-data: 1
cases: one.csv
id: id
inputs:
  lab: {read: columns, numeric: [a, b, c]}
  picture: {read: numpy, path: '{id}.npy'}
targets:
  result: {column: result}
"""
HOMES = {"load_cohort": ("data.loading", "data.cases"), "InputNeed": ("data.signature", "data.needs"),
         "HeadTarget": ("data.signature", "data.needs"), "describe": ("data.description",),
         "main": ("cli.parser", "cli")}
"""Where a name lives, in this layout and in earlier ones."""


class Trips:
    """A profile function that follows control between the modules of one package, in every thread."""

    def __init__(self, root: Path) -> None:
        self.root = f"{root}/"
        self.own = threading.local()
        self.names: dict[str, str] = {}
        self.modules: set[str] = set()
        self.returns: Counter[tuple[str, str]] = Counter()
        self.calls: set[tuple[str, str]] = set()

    def __call__(self, frame: FrameType, event: str, _: Any) -> None:
        """Note a call or a return; what C functions do stays theirs."""
        if event not in ("call", "return"):
            return
        if not hasattr(self.own, "stack"):
            self.own.stack, self.own.importing = [], 0
        code = frame.f_code
        if code.co_name == "<module>":
            self.own.importing += 1 if event == "call" else -1
        module = self.names.get(code.co_filename)
        if module is None:
            module = code.co_filename.removeprefix(self.root) if code.co_filename.startswith(self.root) else ""
            self.names[code.co_filename] = module
        if not module or self.own.importing or code.co_name == "<module>":
            return
        stack = self.own.stack
        if event == "call":
            self.modules.add(module)
            if stack and stack[-1][0] != module:
                self.calls.add((f"{stack[-1][0]}:{stack[-1][1]}", f"{module}:{code.co_qualname}"))
            stack.append((module, code.co_qualname))
        elif stack:
            stack.pop()
            if stack and stack[-1][0] != module:
                self.returns[module, stack[-1][0]] += 1

    def figures(self) -> dict[str, int]:
        """What has been counted."""
        return {"modules": len(self.modules), "packages": len({_package(module) for module in self.modules}),
                "returns between modules": sum(self.returns.values()),
                "returns between packages": sum(count for (module, back), count in self.returns.items()
                                                if _package(module) != _package(back)),
                "pairs of modules": len(self.returns), "pairs of functions": len(self.calls)}


def _package(module: str) -> str:
    return module.partition("/")[0].removesuffix(".py")


def found(name: str) -> Any:
    """A name of fusionkit, wherever this layout keeps it."""
    for home in HOMES[name]:
        with contextlib.suppress(ImportError, AttributeError):
            return getattr(import_module(f"fusionkit.{home}"), name)
    raise SystemExit(f"fusionkit has no {name} in {' or '.join(HOMES[name])}")


def write_study(folder: Path) -> None:
    """Sixty-six cases of two tables, a sixth of them without the second; and one case of a table and a picture."""
    import numpy as np

    draw = random.Random(7)  # noqa: S311 - a made cohort
    with (folder / "cases.csv").open("w", newline="", encoding="utf-8") as stream:
        sheet = csv.writer(stream)
        sheet.writerow(["id", "a", "b", "c", "d", "e", "f", "g", "site", "result", "split"])
        for case in range(66):
            label = case % 2
            values = [f"{draw.gauss(label, 1.5):.3f}" for _ in range(7)] + ["north" if case % 5 else "south"]
            sheet.writerow([f"c{case}", *values[:3], *([""] * 5 if case % 6 == 5 else values[3:]),
                            ["no", "yes"][label], ["train", "train", "validation", "test"][case // 2 % 4]])
    (folder / "one.csv").write_text("id,a,b,c,result\nc0,0.5,1.5,2.5,no\n", encoding="utf-8")
    np.save(folder / "c0.npy", np.zeros((1, 5, 7), dtype=np.float32))
    for name, text in (("graph.yaml", GRAPH), ("data.yaml", DATA), ("one.yaml", ONE_CASE)):
        (folder / name).write_text(text, encoding="utf-8")


def journeys(folder: Path) -> dict[str, Callable[[], Any]]:
    """What is measured, by name."""
    main, load_cohort, describe = found("main"), found("load_cohort"), found("describe")
    need, target = found("InputNeed"), found("HeadTarget")
    graph, data = str(folder / "graph.yaml"), str(folder / "data.yaml")

    def command(*words: str) -> Callable[[], Any]:
        def run() -> None:
            with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()) as errors:
                code = main(list(words))
            if code:
                raise SystemExit(errors.getvalue())

        return run

    # Commands read the catalogue of components once, whatever they load, and import a task once.
    given = {}
    answer = target("multiclass", ("no", "yes"))
    getattr(answer, "declared_task", None)
    if "registry" in inspect.signature(describe).parameters:
        from fusionkit.registry.lookup import discover

        given = {"registry": discover()}

    def load_one() -> None:
        cohort = load_cohort(describe(folder / "one.yaml", **given), {"result": answer},
                             {"lab": need((3,)), "picture": need((1, 5, 7))}, False, workers=1)
        cohort.dataset([0], cohort.fit([0]))[0]

    return {"build": command("build", graph), "load one case": load_one,
            "train": command("train", graph, data, "-o", str(folder / "run")),
            "compare": command("compare", graph, data, "--node", "both", "--with", "fusion.sum,fusion.gmu", "-o",
                               str(folder / "compared"))}


def measured(journey: Callable[[], Any]) -> Trips:
    """One journey under watch."""
    import fusionkit

    watch = Trips(Path(str(fusionkit.__file__)).parent)
    threading.setprofile(watch)
    sys.setprofile(watch)
    try:
        journey()
    finally:
        sys.setprofile(None)
        threading.setprofile(None)  # type: ignore[arg-type]  # typeshed knows no None
    return watch


def main() -> None:
    """Measure all four and print a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", action="store_true", help="print the figures as JSON")
    parser.add_argument("--calls", metavar="JOURNEY", help="list what this one calls from module to module")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as place:
        write_study(Path(place))
        made = {name: measured(journey) for name, journey in journeys(Path(place)).items()
                if args.calls in (None, name)}
    write = sys.stdout.write
    if args.json:
        write(json.dumps({name: watch.figures() for name, watch in made.items()}, indent=2) + "\n")
    elif args.calls:
        for back, count in made[args.calls].returns.most_common():
            write(f"{count:6} {back[0]} -> {back[1]}\n")
    else:
        columns = list(next(iter(made.values())).figures())
        write(f"| | {' | '.join(columns)} |\n|{' --- |' * (len(columns) + 1)}\n")
        for name, watch in made.items():
            write(f"| {name} | {' | '.join(map(str, watch.figures().values()))} |\n")


if __name__ == "__main__":
    main()
