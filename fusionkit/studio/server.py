"""The addresses of the studio: its page, and what the page asks for, as JSON."""

from __future__ import annotations

import asyncio
import shlex
from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import FileResponse, JSONResponse, Response
from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles

from fusionkit import __version__
from fusionkit.errors import UserError
from fusionkit.files import inside, plain_json, read_text
from fusionkit.records.histories import curves, histories
from fusionkit.records.run_folders import COMPARED, GRAPH, RunIndex, RunRow, folds_of, read_row, run_rows
from fusionkit.studio.bodies import answered, body_of, text_of
from fusionkit.studio.case_desk import CaseDesk
from fusionkit.studio.changes import RunChanges
from fusionkit.studio.frames import POLICY, Frames
from fusionkit.studio.graph_files import RefusedFileError, StudioFolder
from fusionkit.studio.guard import Guard, TooLargeError, answer
from fusionkit.studio.link import WorkerError, WorkerLink
from fusionkit.studio.work import Work

STATIC = Path(__file__).parent / "static"
_MOST_FILES = 500
_READING = 0.3
"""Seconds that a list of runs may be read for, before what is known is shown; ten times as long for the rest."""
Handler = Callable[[Request], Awaitable[Response]]


def make_app(folder: StudioFolder, token: str, hosts: Collection[str], link: WorkerLink,
             plugins: Sequence[str] = ()) -> Starlette:
    """The application; `hosts` are the names and ports that it answers to, `link` leads to the worker.

    `plugins` are files of components that the commands which the page starts use.
    """
    desk, cases = _Desk(folder, link, Work(folder, plugins)), CaseDesk(folder, link)

    @asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncIterator[None]:
        starting = asyncio.create_task(_prepare(link, desk))
        yield
        starting.cancel()
        await link.stop()

    gets: dict[str, Handler] = {
        "about": desk.about, "files": desk.files, "file": desk.file, "sources": desk.sources,
        "published": desk.published, "runs": desk.runs, "run": desk.run, "history": desk.history,
        "compare": desk.compare, "pages": desk.pages, "work": desk.jobs, "work/{id}": desk.job,
        "work/{id}/log": desk.log, "cases": cases.cases, "case": cases.case, "picture": cases.picture}
    posts: dict[str, Handler] = {
        "outline": desk.outline, "data": desk.data, "reload": desk.reload,
        "check": desk.check, "edit": desk.asked("edit"), "words": desk.asked("words"),
        "diff": desk.asked("difference"), "page": desk.admit, "propose": desk.propose,
        "work": desk.begin, "work/{id}/stop": desk.stop, "work/{id}/resume": desk.resume,
        "case/inputs": cases.inputs, "case/slices": cases.slices}
    routes = [Route("/", _page), Route("/page/{ticket}", _told(desk.framed)),
              *(Route(f"/api/{name}", _told(handler)) for name, handler in gets.items()),
              *(Route(f"/api/{name}", _told(handler), methods=["POST"]) for name, handler in posts.items()),
              Route("/api/file", _told(desk.save), methods=["PUT"]),
              Mount("/static", StaticFiles(directory=STATIC))]
    return Starlette(routes=routes, lifespan=lifespan, exception_handlers={HTTPException: _refused},
                     middleware=[Middleware(Guard, token=token, hosts=hosts)])


async def _prepare(link: WorkerLink, desk: _Desk) -> None:
    """What the first requests would wait for: the packages that draw, the worker's imports, the list of runs."""
    worker = asyncio.create_task(link.start())
    try:
        await asyncio.to_thread(_outlined, "", 1600, 950)
        await worker
        while not (await desk.read_runs())[1]:
            pass
    finally:
        worker.cancel()


async def _page(request: Request) -> Response:
    return FileResponse(STATIC / "index.html", media_type="text/html")


async def _refused(request: Request, error: Exception) -> Response:
    status = error.status_code if isinstance(error, HTTPException) else 500
    return answer(status, "not-found" if status == 404 else "refused", "there is nothing here")


def _told(handler: Handler) -> Handler:
    """The handler with its refusals as answers."""
    async def told(request: Request) -> Response:
        try:
            return await handler(request)
        except RefusedFileError as error:
            found = {"error": str(error), "code": error.code}
            return JSONResponse(found if error.text is None else {**found, "text": error.text}, error.status)
        except WorkerError as error:
            return answer(504 if error.slow else 503, "worker", str(error))
        except TooLargeError:
            raise
        except (ValueError, KeyError, TypeError) as error:
            return answer(400, "bad-request", f"the request is not what this address takes: {error}")

    return told


class _Desk:
    """Answers the page from the folder, and by the worker."""

    def __init__(self, folder: StudioFolder, link: WorkerLink, work: Work) -> None:
        self.folder = folder
        self.work = work
        self.link = link
        self.index = RunIndex(folder.path)
        self.changes = RunChanges()
        self.reading = asyncio.Lock()
        self.starting = asyncio.Lock()
        self.frames = Frames(folder)

    async def about(self, request: Request) -> Response:
        return JSONResponse({"version": __version__, "folder": self.folder.path.name, "place": str(self.folder.path),
                             "command": shlex.join(["fusionkit", "studio", str(self.folder.path), "--write"]),
                             "write": self.folder.write,
                             "worker": "ready" if self.link.ready else "starting"})

    async def files(self, request: Request) -> Response:
        return JSONResponse(await asyncio.to_thread(self.folder.graphs))

    async def file(self, request: Request) -> Response:
        return JSONResponse(await asyncio.to_thread(self.folder.read, request.query_params["path"]))

    async def save(self, request: Request) -> Response:
        given = await body_of(request)
        path, text, base = given["path"], given["text"], given.get("base")
        if not isinstance(path, str) or not isinstance(text, str) or not isinstance(base, str | None):
            raise TypeError("path and text are texts")
        return JSONResponse(await asyncio.to_thread(self.folder.save, path, text, base))

    async def outline(self, request: Request) -> Response:
        """The drawing of a graph's text without shapes, which needs no component: while the worker imports them."""
        given = await body_of(request)
        sizes = [float(given.get(name) or standard) for name, standard in (("wide", 1600), ("high", 950))]
        return JSONResponse({"svg": await asyncio.to_thread(_outlined, text_of(given, "text"), *sizes)})

    async def data(self, request: Request) -> Response:
        """The mistakes of the text of a data file, whose paths are relative to where it lies."""
        given = await body_of(request)
        place = self.folder.place(text_of(given, "path"))
        return await answered(self.link, "data", {"text": text_of(given, "text"), "place": str(place),
                                                  "cells": bool(given.get("cells"))})

    async def check(self, request: Request) -> Response:
        """What the worker says of a graph's text; `data` is the path of a data file that tells its sizes."""
        given = await body_of(request)
        data = str(self.folder.place(text_of(given, "data"))) if given.get("data") else None
        return await answered(self.link, "check", {**given, "data": data})

    async def reload(self, request: Request) -> Response:
        """Start the worker anew: it finds components that were installed or changed since."""
        await self.link.restart()
        return JSONResponse({"worker": "ready" if self.link.ready else "starting"})

    def asked(self, call: str) -> Handler:
        """What the worker answers to the request's body."""
        async def ask(request: Request) -> Response:
            return await answered(self.link, call, await body_of(request))

        return ask

    async def published(self, request: Request) -> Response:
        return await answered(self.link, "published", {"name": request.query_params.get("name")})

    async def pages(self, request: Request) -> Response:
        return JSONResponse(await asyncio.to_thread(self.frames.pages))

    async def admit(self, request: Request) -> Response:
        ticket = await asyncio.to_thread(self.frames.admit, text_of(await body_of(request), "path"))
        return JSONResponse({"address": f"/page/{ticket}"})

    async def framed(self, request: Request) -> Response:
        content = await asyncio.to_thread(self.frames.taken, request.path_params["ticket"])
        return Response(content, media_type="text/html", headers={"content-security-policy": POLICY})

    async def compare(self, request: Request) -> Response:
        return JSONResponse(await asyncio.to_thread(self._compare, request.query_params["id"]))

    async def propose(self, request: Request) -> Response:
        given = await body_of(request)
        table = await asyncio.to_thread(self.folder.table, text_of(given, "table"))
        names = {key: given.get(key) for key in ("target", "id")}
        if not all(isinstance(name, str | None) for name in names.values()):
            raise TypeError("target and id are names of columns")
        return await answered(self.link, "propose", {**names, "table": str(table), "folder": str(self.folder.path)})

    async def sources(self, request: Request) -> Response:
        return JSONResponse(await asyncio.to_thread(self.folder.sources))

    async def jobs(self, request: Request) -> Response:
        return JSONResponse(await asyncio.to_thread(self.work.jobs))

    async def job(self, request: Request) -> Response:
        return JSONResponse(await asyncio.to_thread(self.work.job, request.path_params["id"]))

    async def log(self, request: Request) -> Response:
        start = int(request.query_params.get("from", "0"))
        return JSONResponse(await asyncio.to_thread(self.work.log, request.path_params["id"], start))

    async def begin(self, request: Request) -> Response:
        given = await body_of(request)
        async with self.starting:  # of two starts into one folder, the second sees the first
            return JSONResponse(await asyncio.to_thread(self.work.start, given))

    async def stop(self, request: Request) -> Response:
        return JSONResponse(await asyncio.to_thread(self.work.stop, request.path_params["id"]))

    async def resume(self, request: Request) -> Response:
        async with self.starting:
            return JSONResponse(await asyncio.to_thread(self.work.resume, request.path_params["id"]))

    async def runs(self, request: Request) -> Response:
        """The list of runs; with `since`, the `state` of an answer before, only what is new, changed or gone since."""
        asked = request.query_params
        rows, complete = await self.read_runs(_READING * (1 if asked.get("more") is None else 10))
        state, gone = self.changes.noted(rows), list[str]()
        if "since" in asked:
            rows, gone = self.changes.since(int(asked["since"]))
        return JSONResponse({"rows": [_short(row) for row in rows], "gone": gone, "state": state,
                             "complete": complete})

    async def read_runs(self, seconds: float = _READING) -> tuple[list[RunRow], bool]:
        """The runs that are known after some more reading, and whether those are all."""
        async with self.reading:
            return await asyncio.to_thread(self.index.partly, seconds)

    async def run(self, request: Request) -> Response:
        return JSONResponse(await asyncio.to_thread(self._run, request.query_params["id"]))

    async def history(self, request: Request) -> Response:
        path = self.folder.folder(request.query_params["id"])
        lines = await asyncio.to_thread(histories, path)
        return JSONResponse({"curves": curves(lines.values()), "trainings": list(lines)})

    def _compare(self, name: str) -> dict[str, Any]:
        """The table of a comparison as it was written, and the run of each of its networks, by folder."""
        path = self.folder.folder(name)
        written = inside(self.folder.path, str(path / COMPARED))
        found = plain_json(written) if written is not None else None
        if found is None or not isinstance(found.get("heads"), dict):
            raise RefusedFileError(404, "not-found", f"{name!r} has no table of a comparison")
        runs: dict[str, str] = {}
        for row in run_rows(path, inner=True):
            parts = row.path.split("/")
            if len(parts) > 2 and parts[0] == "runs":
                runs.setdefault(parts[1].lower(), f"{name}/{row.path}")
        return {**found, "runs": runs}

    def _run(self, name: str) -> dict[str, Any]:
        path = self.folder.folder(name)
        row = read_row(path, self.folder.path.resolve())
        if row is None:
            raise RefusedFileError(404, "not-found", f"{name!r} is no run")
        own = (folds_of(path) or [path])[0]
        written = inside(self.folder.path, str(own / GRAPH))  # a link may lead out
        try:
            graph = read_text(written) if written is not None else ""
        except (OSError, ValueError):
            graph = ""
        files = sorted(each.relative_to(path).as_posix() for each in path.glob("*") if each.is_file())
        return {**row.as_json(), "graph": graph, "files": files[:_MOST_FILES], "place": str(path)}


def _outlined(text: str, wide: float, high: float) -> str | None:
    """The drawing as SVG, None where the text is no YAML."""
    from fusionkit.drawing.folding import Fold
    from fusionkit.drawing.sketch_labels import folded_svg
    from fusionkit.planning.sketch import outline
    from fusionkit.syntax.reader import read

    try:
        return folded_svg(outline(read(text, "graph.yaml")), wide, high, Fold())
    except UserError:
        return None


def _short(row: RunRow) -> dict[str, Any]:
    """A row of the list, with intervals of the first two metrics of each head: a list of a thousand runs is long."""
    made = row.as_json()
    for head in made["heads"].values():
        shown = list(head["metrics"])[:2]
        head["metrics"] = {name: values if name in shown else values[:1] for name, values in head["metrics"].items()}
        head["labels"] = {name: label for name, label in head["labels"].items() if name in shown}
    return made
