"""The web application: requests in, answers out. Starlette is imported here, so this module is imported late."""

from __future__ import annotations

import asyncio
import hmac
import logging
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, BinaryIO

from python_multipart.exceptions import FormParserError
from starlette.applications import Starlette
from starlette.datastructures import Headers, UploadFile
from starlette.formparsers import MultiPartException, MultiPartParser
from starlette.middleware import Middleware
from starlette.middleware.trustedhost import TrustedHostMiddleware
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, PlainTextResponse, Response
from starlette.routing import Route

from fusionkit.errors import Diagnostic, UserError
from fusionkit.serving.answers import answer, refusal
from fusionkit.serving.batching import Batcher, BusyError
from fusionkit.serving.engine import Engine, RequestLimits
from fusionkit.serving.metrics import Metrics
from fusionkit.serving.openapi import described, page
from fusionkit.serving.private import server_folder
from fusionkit.serving.uploads import CELLS, Upload, bad_request, cells_of

_RETRY = 1  # seconds
# It logs bytes of requests that it cannot read.
logging.getLogger("python_multipart").setLevel(logging.CRITICAL)
_PRIVATE = {"cache-control": "no-store"}


class _TooLargeError(Exception):
    """A request has more bytes than it may."""


class _InMemory(MultiPartParser):
    """Keeps files in memory, which the limit of the request bounds: nothing of a patient reaches a disk.

    A request that ends within a part is refused, since an optional input that was cut off would count as absent; and so
    is text in another encoding, which would be read as other letters.
    """

    spool_max_size = 1 << 62
    whole = False

    def on_part_end(self) -> None:
        """A part is complete."""
        part, self._charset = self._current_part, "utf-8"
        if part.file is None:
            try:
                bytes(part.data).decode("utf-8")
            except UnicodeDecodeError:
                raise MultiPartException(f"the part {part.field_name!r} is no UTF-8") from None
        super().on_part_end()

    def on_end(self) -> None:
        """All parts are complete."""
        self.whole = True
        super().on_end()


def application(engine: Engine, limits: RequestLimits | None = None, *, token: str | None = None,
                hosts: tuple[str, ...] = ("*",), counts: Path | None = None) -> Starlette:
    """The application of a network. With `token` every request but /health must have it; `hosts` are its own names.

    `counts` is a folder in which processes that serve together add up what they count.

    Raises: GraphError with `not-served` for inputs that a request cannot hold.
    """
    return _Server(engine, limits or RequestLimits(), token, Metrics(counts)).application(hosts)


class _Server:
    def __init__(self, engine: Engine, limits: RequestLimits, token: str | None, metrics: Metrics) -> None:
        self.engine, self.limits, self.token, self.metrics = engine, limits, token, metrics
        self.batcher, self.open = Batcher(engine, limits, self.metrics), 0
        self.description = described(engine, self.batcher.reader, token is not None)
        self.page = page(self.description, self.batcher.reader)

    def application(self, hosts: tuple[str, ...]) -> Starlette:
        routes = [Route("/predict", self.predict, methods=["POST"]), Route("/health", self.health),
                  Route("/metrics", self.told), Route("/openapi.json", self.openapi), Route("/", self.docs),
                  Route("/docs", self.docs)]
        return Starlette(routes=routes, lifespan=self.lifespan,
                         middleware=[Middleware(TrustedHostMiddleware, allowed_hosts=list(hosts))])

    @asynccontextmanager
    async def lifespan(self, app: Starlette) -> AsyncIterator[None]:
        with server_folder() as self.batcher.reader.folder:
            self.batcher.start()
            try:
                yield
            finally:
                await self.batcher.stop()

    async def predict(self, request: Request) -> Response:
        start = time.perf_counter()
        response = self.unknown(request) or await self.answered(request)
        self.metrics.add("fusionkit_requests_total", status=str(response.status_code))
        self.metrics.took(time.perf_counter() - start, self.batcher.waiting)
        return response

    async def answered(self, request: Request) -> Response:
        self.open += 1
        try:
            if self.open > self.limits.waiting:  # before its body is taken into memory
                raise BusyError
            async with asyncio.timeout(self.limits.seconds):
                form = await self.form(request)
            try:
                found = await self.batcher.answer(_upload(form))
            finally:
                await form.close()
            made = answer(self.engine.name, self.engine.uncertainty, found.results, found.row, found.case)
            self.metrics.answered(made)
            return JSONResponse(made, headers=_PRIVATE)
        except UserError as error:
            for code in {each.code for each in error.diagnostics}:
                self.metrics.add("fusionkit_refusals_total", code=code)
            return JSONResponse(refusal(error.diagnostics), 400, headers=_PRIVATE)
        except _TooLargeError:
            return _refused(413, "too-large", "the request is too large",
                            f"a request may have {self.limits.request_bytes:,} bytes")
        except BusyError:
            return _refused(503, "busy", "too many cases wait", "the queue of the server has an end",
                            {"retry-after": str(_RETRY)})
        except TimeoutError:
            return _refused(504, "timeout", "the case took too long", f"a request has {self.limits.seconds:g} seconds")
        except Exception as error:  # what it says may name a file or a value of the case: only its kind is told
            return _refused(500, "failed", "the case could not be predicted", type(error).__name__)
        finally:
            self.open -= 1

    async def form(self, request: Request) -> Any:
        """The parts of a request, in memory.

        Raises: _TooLargeError, DataError with `bad-request`.
        """
        length = request.headers.get("content-length", "")
        if length.isdecimal() and int(length) > self.limits.request_bytes:
            raise _TooLargeError
        if not request.headers.get("content-type", "").startswith("multipart/form-data"):
            raise bad_request("the request is no multipart/form-data")
        parser = _InMemory(Headers(scope=request.scope), self.body(request), max_files=self.limits.files,
                           max_fields=self.limits.form_fields, max_part_size=self.limits.cells_bytes)
        try:
            found = await parser.parse()
        except (MultiPartException, FormParserError, KeyError, UnicodeDecodeError) as error:
            raise bad_request("the request cannot be read", getattr(error, "message", type(error).__name__)) from None
        if not parser.whole:
            for file in parser._files_to_close_on_error:
                file.close()
            raise bad_request("the request ends within a part", "its last boundary is missing")
        return found

    async def body(self, request: Request) -> Any:
        """The bytes of a request, as far as they may go."""
        seen = 0
        async for piece in request.stream():
            seen += len(piece)
            if seen > self.limits.request_bytes:
                raise _TooLargeError
            yield piece

    def unknown(self, request: Request) -> Response | None:
        """The refusal of a request without the token, if there is one."""
        if self.token is None:
            return None
        scheme, _, given = request.headers.get("authorization", "").partition(" ")
        if hmac.compare_digest(given.encode(), self.token.encode()) and scheme.lower() == "bearer":
            return None
        return _refused(401, "unauthorised", "the token is missing or wrong", "this server requires one",
                        {"www-authenticate": "Bearer"})

    async def health(self, request: Request) -> Response:
        return JSONResponse({"status": "ok", "network": self.engine.name})

    async def told(self, request: Request) -> Response:
        return self.unknown(request) or PlainTextResponse(self.metrics.text(self.batcher.waiting),
                                                          media_type="text/plain; version=0.0.4")

    async def openapi(self, request: Request) -> Response:
        return self.unknown(request) or JSONResponse(self.description)

    async def docs(self, request: Request) -> Response:
        return self.unknown(request) or HTMLResponse(self.page)


def _upload(form: Any) -> Upload:
    """The files and cells of a form. Raises: DataError with `bad-request`."""
    files: dict[str, list[tuple[str, BinaryIO]]] = {}
    cells: dict[str, Any] = {}
    for name, value in form.multi_items():
        if name == CELLS:
            if cells:
                raise bad_request(f"the part {CELLS!r} is there twice")
            cells = cells_of(value if isinstance(value, str) else _text(value))
        elif isinstance(value, UploadFile):
            files.setdefault(name, []).append((value.filename or "", value.file))
        else:
            raise bad_request(f"the part {name!r} is no file", "cells of the table are in the part 'cells'")
    return Upload(cells, files)


def _text(value: UploadFile) -> str:
    try:
        return value.file.read().decode("utf-8")
    except UnicodeDecodeError:
        raise bad_request(f"the part {CELLS!r} is no UTF-8") from None


def _refused(status: int, code: str, message: str, why: str, headers: Mapping[str, str] | None = None) -> Response:
    found = Diagnostic(code, message, why=why)
    return JSONResponse(refusal([found]), status, headers={**_PRIVATE, **(headers or {})})
