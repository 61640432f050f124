"""The process that knows components: it checks and edits graphs, one request a line, one answer a line, as JSON.

A plugin may hang, print or end the process; the server then starts another. Answers go to what standard output was when
the process started, and what plugins print to standard error.
"""

from __future__ import annotations

import gc
import json
import os
import sys
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import replace
from queue import SimpleQueue
from typing import TYPE_CHECKING, Any, TextIO

from fusionkit.errors import Diagnostic, UserError
from fusionkit.registry.lookup import Registry
from fusionkit.studio.data_sizes import DataSizes

if TYPE_CHECKING:
    from fusionkit.network.measure import Measurement
    from fusionkit.planning.plan import Call
    from fusionkit.planning.resolve import Resolved
    from fusionkit.shapes.layouts import TensorShape
    from fusionkit.studio.case_data import CaseData

Answer = dict[str, Any]
_LONG = 0.5
"""Seconds of an answer that imported something. What it left stays: a collection that looks at all of it takes 0.4 s,
in the midst of a check that takes 0.02 s."""


def main(arguments: Sequence[str]) -> int:
    """Answer until the input ends; `arguments` are Python files with further components."""
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    _end_with(os.getppid())
    lines: SimpleQueue[str | None] = SimpleQueue()
    threading.Thread(target=_read, args=(lines,), daemon=True).start()
    desk = Desk(arguments, waiting=lambda: not lines.empty())
    while (line := lines.get()) is not None:
        with suppress(ValueError):
            request, begun = json.loads(line), time.process_time()
            _answer(answers, {"id": request["id"], **desk.answer(request["call"], request["with"])})
            if time.process_time() - begun > _LONG:
                gc.freeze()
    return 0


def _read(lines: SimpleQueue[str | None]) -> None:
    """Requests as they come, so that a long answer knows that another one is waited for."""
    for line in sys.stdin:
        lines.put(line)
    lines.put(None)


class _DroppedError(BaseException):
    """Costs are not needed any more. Not an Exception, which a failing component is taken for."""


def _answer(stream: TextIO, answer: Answer) -> None:
    stream.write(json.dumps(answer) + "\n")
    stream.flush()


def _end_with(parent: int) -> None:
    """End this process when its parent is gone, also while a plugin hangs."""
    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(1)
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


class Desk:
    """Answers requests, with one registry and one memo of what components have shown."""

    def __init__(self, plugins: Sequence[str] = (), waiting: Callable[[], bool] = lambda: False) -> None:
        from fusionkit.network.planning_memo import PlanningMemo
        from fusionkit.registry.lookup import discover

        self.registry: Registry = discover(files=list(plugins))
        self.memo = PlanningMemo()
        self._cases: CaseData | None = None
        self.sizes = DataSizes(self.registry)
        self.waiting = waiting
        self.calls: dict[str, Callable[[Answer], Answer]] = {
            "check": self.check, "data": self.data, "edit": self.edit, "difference": self.difference,
            "published": self.published, "propose": self.propose, "words": self.words,
            "case": lambda given: self.cases.case(given["folder"], given["case"]),
            "slices": lambda given: self.cases.slices(given)}

    @property
    def cases(self) -> CaseData:
        """The data of runs; reading them needs packages that graphs do not need."""
        from fusionkit.studio.case_data import CaseData

        self._cases = self._cases or CaseData(self.registry)
        return self._cases

    def answer(self, call: str, given: Answer) -> Answer:
        """`result`, or `error` with why there is none."""
        try:
            return {"result": self.calls[call](given)}
        except UserError as error:
            return {"error": str(error), "code": error.diagnostics[0].code}
        except Exception as error:  # a fault of ours or of a plugin must not end the process
            return {"error": f"{type(error).__name__}: {error}", "code": "failed"}

    def check(self, given: Answer) -> Answer:
        """The mistakes of a text, its drawing, and where each node stands; with `costs`, of a good graph, the costs.

        `data` is a data file that tells what the graph leaves to it; `auto` says whether it leaves something. `svg` is
        null where the text is no YAML, and where the drawing is `large` and that was not asked for. Costs are `dropped`
        where another request waits.
        """
        from fusionkit.drawing.folding import Fold
        from fusionkit.drawing.sketch_labels import folded_svg
        from fusionkit.interface.plan import training_faults
        from fusionkit.network.measure import measure
        from fusionkit.planning.sketch import Sketch, outline, sketch
        from fusionkit.runs.categories import left_to_data, with_categories
        from fusionkit.syntax.reader import read

        begun = time.perf_counter()
        try:
            tree = read(given["text"], given.get("path") or "graph.yaml")
        except UserError as error:
            return {"ok": False, "diagnostics": _told(error.diagnostics), "svg": None, "places": {}, "auto": False,
                    "ms": 0.0}
        inputs, data = outline(tree).graph.inputs, given.get("data")
        look = self.sizes.of(inputs, str(data)) if data and "auto" in given["text"] else None
        left: list[bool] = []

        def filled(resolved: Resolved) -> Resolved:
            left.append(left_to_data(resolved))
            return resolved if look is None else with_categories(resolved, look)

        made = sketch(tree, self.registry, self.memo.witness, look.sizes if look else None, output=self.memo.output,
                      filled=filled)
        made = replace(made, diagnostics=tuple(_left(each, data) for each in made.diagnostics))
        faults = [*made.diagnostics, *training_faults(tree, self.registry)]
        if given.get("costs") and made.complete and (look is not None or not any(left)):
            try:
                made = Sketch(made.graph, measure(made.plan, self._probe), made.diagnostics)
            except _DroppedError:
                return {"dropped": True}
            except UserError as error:
                faults.extend(error.diagnostics)
                made = Sketch(made.graph, made.plan, (*made.diagnostics, *error.diagnostics))
        spans = {each.name: each.span for each in made.graph.inputs} | {
            each.name: each.span for each in made.graph.nodes}
        places = {name: (span.line, span.column) for name, span in spans.items()}
        fold = Fold(given.get("fold"), tuple(given.get("open") or ()), bool(given.get("large")))
        drawing = folded_svg(made, float(given.get("wide") or 1600), float(given.get("high") or 950), fold)
        return {"ok": not any(fault.severity == "error" for fault in faults), "diagnostics": _told(faults),
                "svg": drawing, "large": drawing is None, "places": places,
                "auto": any(left) or any(each.auto for each in inputs),
                "ms": round((time.perf_counter() - begun) * 1000, 1)}

    def data(self, given: Answer) -> Answer:
        """The mistakes of the text of a data file at `place`; with `cells` also those of its table of cases.

        A finding in another file than the text, as in a cell of the table, has `elsewhere`, its file.
        """
        from pathlib import Path

        from fusionkit.interface.check_data import data_findings

        begun, place = time.perf_counter(), Path(given["place"])
        found = data_findings(given["text"], place, self.registry, cells=bool(given.get("cells")))
        told = _told(found)
        for each, finding in zip(told, found, strict=True):
            if finding.span and finding.span.file != str(place):
                each["elsewhere"] = os.path.relpath(finding.span.file, place.parent)
        return {"ok": not any(each.severity == "error" for each in found), "diagnostics": told,
                "ms": round((time.perf_counter() - begun) * 1000, 1)}

    def _probe(self, call: Call, path: str = "probe", on: Sequence[TensorShape] | None = None) -> Measurement:
        if self.waiting():
            raise _DroppedError
        return self.memo.probe(call, path, on)

    def edit(self, given: Answer) -> Answer:
        """The changes of a text for an edit, placed in UTF-16 units as JavaScript counts, or why it is refused."""
        from fusionkit.graph.text_edits import edited
        from fusionkit.syntax.text_changes import RefusedEditError

        text: str = given["text"]
        try:
            found = edited(text, self._filled(given["edit"]))
        except RefusedEditError as refused:
            return {"refused": str(refused)}
        return {"changes": [{"from": _units(text[:each.start]), "to": _units(text[:each.end]), "insert": each.insert}
                            for each in found]}

    def _filled(self, edit: Answer) -> Answer:
        """The edit with the required options of the component that it adds, where it is known and has an example."""
        from fusionkit.components.component import Component
        from fusionkit.graph.text_edits import ADDING
        from fusionkit.testing.probing.examples import needed_options

        if edit.get("op") not in ADDING or edit.get("options"):
            return edit
        try:
            component = self.registry.load(str(edit.get("use")), of=Component)
        except UserError:
            return edit  # the graph then says what is wrong with it
        return {**edit, "options": needed_options(component)}

    def words(self, given: Answer) -> Answer:
        """The components that can be nodes, from the catalogues: none is imported."""
        from fusionkit.components.kinds import NODE_KINDS

        return {"kinds": list(NODE_KINDS), "components": [
            {"id": entry.id, "kind": entry.kind, "category": entry.category, "summary": entry.summary}
            for entry in self.registry.entries if entry.kind in NODE_KINDS]}

    def difference(self, given: Answer) -> Answer:
        """What changed from one text to another, and the drawings of both."""
        from fusionkit.drawing.sketch_labels import sketch_svg
        from fusionkit.planning.sketch import sketch
        from fusionkit.records.difference import difference
        from fusionkit.syntax.reader import read
        from fusionkit.syntax.tree import to_plain

        trees = [read(given[side], side) for side in ("a", "b")]
        first, second = map(to_plain, trees)
        if not isinstance(first, dict) or not isinstance(second, dict):
            return {"refused": "one of the texts is no graph"}
        found = difference(first, second)
        size = float(given.get("wide") or 1600), float(given.get("high") or 950)
        drawn = [sketch_svg(sketch(tree, self.registry, self.memo.witness, output=self.memo.output), *size, marks=marks)
                 for tree, marks in zip(trees, found.marks(), strict=True)]
        return {**found.as_json(), "svg": drawn}

    def published(self, given: Answer) -> Answer:
        """The names of published graphs, or the text of one."""
        name = given.get("name")
        if name is None:
            return {"names": sorted(self.registry.graphs)}
        path = self.registry.graph(str(name))
        return {"text": path.read_text(encoding="utf-8") if path else None}

    def propose(self, given: Answer) -> Answer:
        """Write a data file and a graph for a table: their paths in the folder, the guesses, what is said of both."""
        from pathlib import Path

        from fusionkit.interface.proposal import propose

        made = propose(given["table"], target=given.get("target"), id_column=given.get("id"))
        data, graph = (path.resolve().relative_to(Path(given["folder"]).resolve()).as_posix()
                       for path in (made.data, made.graph))
        return {"data": data, "graph": graph, "findings": _told(made.findings),
                "guesses": [{"column": each.column, "role": each.role, "why": each.why} for each in made.guesses]}


def _left(found: Diagnostic, data: Any) -> Diagnostic:
    """A size that is left to the data is no mistake yet, and is told as the page can help it."""
    if found.code != "auto-size":
        return found
    fix = ("the data file that is chosen above does not tell it: choose another one, or see what is wrong with it"
           if data else "choose the data file that it comes from above, or write the size")
    return replace(found, severity="warning", fix=fix)


def _told(found: Sequence[Diagnostic]) -> list[Answer]:
    return [{**each.as_json(), "shown": each.span.text if each.span else ""} for each in found]


def _units(text: str) -> int:
    """The length of a text in UTF-16 units."""
    return len(text.encode("utf-16-le", "surrogatepass")) // 2


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
