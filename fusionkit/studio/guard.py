"""What stands before every answer: who may ask, how much, and what a browser may do with it."""

from __future__ import annotations

from collections.abc import Collection
from hmac import compare_digest

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

MOST_BYTES = 2 << 20
POLICY = ("default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob: data:; connect-src 'self'; "
          "frame-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'")
HEADERS = {"content-security-policy": POLICY, "x-content-type-options": "nosniff", "cache-control": "no-store",
           "referrer-policy": "no-referrer", "cross-origin-opener-policy": "same-origin",
           "cross-origin-resource-policy": "same-origin"}


class Guard:
    """Refuses requests for another host (421), from another origin (403), without the token (401), too large (413).

    The host is compared against DNS rebinding, by which a foreign page becomes of one origin with this server. The
    token comes in a header, never in a cookie, so that no request that another page makes carries it.
    """

    def __init__(self, app: ASGIApp, token: str, hosts: Collection[str]) -> None:
        self.app = app
        self.token = token
        self.hosts = frozenset(hosts)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer, or let the application answer."""
        if scope["type"] != "http":
            if scope["type"] == "lifespan":
                await self.app(scope, receive, send)
            return
        refused = self._refusal(scope)
        if refused is not None:
            await refused(scope, receive, _with_headers(send))
            return
        received = 0

        async def counted() -> Message:
            nonlocal received
            message = await receive()
            received += len(message.get("body", b""))
            if received > MOST_BYTES:
                raise TooLargeError  # its length was not said, or not truly
            return message

        try:
            await self.app(scope, counted, _with_headers(send))
        except TooLargeError:
            await _too_large()(scope, receive, _with_headers(send))

    def _refusal(self, scope: Scope) -> JSONResponse | None:
        headers = Headers(scope=scope)
        if headers.get("host") not in self.hosts:
            return answer(421, "host", "this server is another one")
        origin = headers.get("origin")
        if origin is not None and origin not in {f"http://{host}" for host in self.hosts}:
            return answer(403, "origin", "the request comes from another page")
        if scope["path"].startswith("/api/"):
            given = headers.get("authorization", "")
            if not compare_digest(given.encode("latin-1", "replace"), f"Bearer {self.token}".encode()):
                return answer(401, "token", "the page needs the address that the command printed")
        if int(length if (length := headers.get("content-length", "0")).isdecimal() else "0") > MOST_BYTES:
            return _too_large()
        return None


class TooLargeError(Exception):
    """The body of a request is too large."""


def answer(status: int, code: str, message: str) -> JSONResponse:
    """An answer that refuses."""
    return JSONResponse({"error": message, "code": code}, status_code=status)


def _too_large() -> JSONResponse:
    return answer(413, "too-large", f"a request has at most {MOST_BYTES >> 20} MiB")


def _with_headers(send: Send) -> Send:
    async def sent(message: Message) -> None:
        if message["type"] == "http.response.start":
            headers = MutableHeaders(scope=message)
            for name, value in HEADERS.items():
                headers.setdefault(name, value)  # a framed page has a narrower policy of its own
        await send(message)

    return sent
