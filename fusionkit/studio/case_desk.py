"""The addresses of the page of cases: the list, one case, its pictures, its data."""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from dataclasses import asdict
from pathlib import Path
from typing import Any

from starlette.requests import Request
from starlette.responses import FileResponse, JSONResponse, Response

from fusionkit.files import inside
from fusionkit.records.case_results import (
    EXPLAIN,
    EXPLAINED,
    PREDICTIONS,
    CaseResult,
    HeadCases,
    case_explanation,
    explained_files,
    head_cases,
)
from fusionkit.studio.bodies import answered, body_of, text_of
from fusionkit.studio.graph_files import RefusedFileError, StudioFolder
from fusionkit.studio.link import WorkerLink

OF_A_PAGE, _MOST_TABLES = 200, 4


class CaseDesk:
    """Answers from the tables of the runs, and by the worker from their data."""

    def __init__(self, folder: StudioFolder, link: WorkerLink) -> None:
        self.folder = folder
        self.link = link
        self._tables: OrderedDict[tuple[Path, int], dict[str, HeadCases]] = OrderedDict()

    async def cases(self, request: Request) -> Response:
        """A page of the list, and the confusion matrix of all."""
        return JSONResponse(await asyncio.to_thread(self._cases, dict(request.query_params)))

    async def case(self, request: Request) -> Response:
        """One case: its numbers, and what `explain` wrote of it."""
        return JSONResponse(await asyncio.to_thread(self._case, dict(request.query_params)))

    async def picture(self, request: Request) -> Response:
        """A picture that `explain` wrote."""
        run = self.folder.folder(request.query_params["id"])
        return FileResponse(self._explained(run, request.query_params["name"], ".png"), media_type="image/png")

    async def inputs(self, request: Request) -> Response:
        """The inputs of a case, from its data."""
        given = await body_of(request)
        return await answered(self.link, "case", await asyncio.to_thread(self._place, given))

    async def slices(self, request: Request) -> Response:
        """Planes of an input of a case."""
        given = await body_of(request)
        place = await asyncio.to_thread(self._place, given)
        if given.get("heat") is not None:
            run = self.folder.folder(text_of(given, "id"))
            place["heat"] = str(await asyncio.to_thread(self._explained, run, text_of(given, "heat"), ".npz"))
        return await answered(self.link, "slices", {**{key: given.get(key) for key in ("at", "peak", "low", "high")},
                                                    "input": text_of(given, "input"), **place})

    def _explained(self, run: Path, name: str, ending: str) -> Path:
        """A file that `explain` wrote of a run."""
        path = inside(self.folder.path, str(run / name))
        if name not in explained_files(run, ending) or path is None or not path.is_file():
            raise RefusedFileError(404, "not-found", f"there is no file {name!r} of an explanation")
        return path

    def _heads(self, run: Path) -> dict[str, HeadCases]:
        table = run / PREDICTIONS
        key = (run, table.stat().st_mtime_ns if table.is_file() else 0)
        if key not in self._tables:
            if inside(self.folder.path, str(table)) is None:
                raise RefusedFileError(403, "outside", "it is outside the folder of the studio")
            self._tables[key] = head_cases(run)
            while len(self._tables) > _MOST_TABLES:
                self._tables.popitem(last=False)
        self._tables.move_to_end(key)
        return self._tables[key]

    def _head(self, given: dict[str, Any]) -> tuple[Path, str, dict[str, HeadCases]]:
        run = self.folder.folder(given["id"])
        try:
            heads = self._heads(run)
        except ValueError as error:
            raise RefusedFileError(409, "unreadable", f"the predictions cannot be read: {error}") from None
        if not heads:
            raise RefusedFileError(404, "not-evaluated", "the run has no predictions: `fusionkit evaluate`")
        head = given.get("head") or next(iter(heads))
        if head not in heads:
            raise RefusedFileError(404, "not-found", f"there is no head {head!r}")
        return run, head, heads

    def _cases(self, given: dict[str, str]) -> dict[str, Any]:
        run, name, heads = self._head(given)
        head = heads[name]
        wrong, truth, said = given.get("show") == "wrong", given.get("truth"), given.get("said")
        words = given.get("words", "").lower()
        chosen = [case for case in head.cases if not (wrong and case.right is not False)
                  and truth in (None, case.truth) and said in (None, case.said) and words in case.id.lower()]
        first = max(0, int(given.get("page", "0"))) * OF_A_PAGE
        return {"heads": list(heads), "head": name, "task": head.task, "classes": list(head.classes),
                "measure": head.measure, "total": len(chosen), "all": len(head.cases), "size": OF_A_PAGE,
                "rows": [_row(case) for case in chosen[first:first + OF_A_PAGE]], "confusion": _confusion(head),
                "explained": (run / EXPLAIN / EXPLAINED).is_file()}

    def _case(self, given: dict[str, str]) -> dict[str, Any]:
        run, name, heads = self._head(given)
        case = self._one(heads[name], given["case"])
        return {**_row(case), "values": case.values, "explanation": asdict(case_explanation(run, name, case.id))}

    def _place(self, given: dict[str, Any]) -> dict[str, str]:
        """The folder of the training that a case belongs to, for the worker."""
        run, name, heads = self._head({"id": text_of(given, "id"), "head": given.get("head")})
        case = self._one(heads[name], text_of(given, "case"))
        if case.fold.isdecimal():
            run = self.folder.folder(str((run / f"fold-{int(case.fold)}").relative_to(self.folder.path)))
        return {"folder": str(run), "case": case.id}

    def _one(self, head: HeadCases, name: str) -> CaseResult:
        found = next((case for case in head.cases if case.id == name), None)
        if found is None:
            raise RefusedFileError(404, "not-found", f"there is no case {name!r}")
        return found


def _row(case: CaseResult) -> dict[str, Any]:
    return {"id": case.id, "fold": case.fold, "truth": case.truth, "said": case.said, "loss": case.loss,
            "right": case.right, "p": case.values.get(case.truth) or case.values.get(f"class:{case.truth}"),
            "confidence": case.values.get("confidence")}


def _confusion(head: HeadCases) -> list[list[int]] | None:
    """How many cases of each class (rows) are predicted as each (columns); None for a task without one class a case."""
    place = {name: number for number, name in enumerate(head.classes)}
    if len(place) < 2 or not any(case.truth in place and case.said in place for case in head.cases):
        return None
    counts = [[0] * len(place) for _ in place]
    for case in head.cases:
        if case.truth in place and case.said in place:
            counts[place[case.truth]][place[case.said]] += 1
    return counts
