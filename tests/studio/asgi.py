"""Requests to an application without a socket, a client package or a thread."""

from __future__ import annotations

import asyncio
import json
from dataclasses import dataclass
from typing import Any

from starlette.types import ASGIApp, Message

HOST, TOKEN = "127.0.0.1:8765", "the-token"


@dataclass
class Answer:
    """What came back."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def data(self) -> Any:
        return json.loads(self.body)


def request(app: ASGIApp, method: str, path: str, body: Any = None, *, host: str = HOST, token: str | None = TOKEN,
            **headers: str) -> Answer:
    """The answer to one request; `path` may have a query, `body` is sent as JSON unless it is bytes."""
    raw = b"" if body is None else body if isinstance(body, bytes) else json.dumps(body).encode()
    given = {"host": host, **headers} | ({} if token is None else {"authorization": f"Bearer {token}"})
    name, _, query = path.partition("?")
    scope = {"type": "http", "asgi": {"version": "3.0"}, "http_version": "1.1", "method": method, "scheme": "http",
             "path": name, "raw_path": name.encode(), "query_string": query.encode(), "root_path": "",
             "headers": [(key.replace("_", "-").encode(), value.encode()) for key, value in given.items()],
             "client": ("127.0.0.1", 1), "server": ("127.0.0.1", 8765)}
    sent: list[Message] = []
    pieces = [raw[at:at + (1 << 19)] for at in range(0, len(raw), 1 << 19)] or [b""]

    async def receive() -> Message:
        if not pieces:
            await asyncio.Event().wait()  # the client stays until it has its answer
        return {"type": "http.request", "body": pieces.pop(0), "more_body": bool(pieces)}

    async def send(message: Message) -> None:
        sent.append(message)

    asyncio.run(app(scope, receive, send))
    start = next(message for message in sent if message["type"] == "http.response.start")
    return Answer(start["status"], {key.decode(): value.decode() for key, value in start["headers"]},
                  b"".join(message.get("body", b"") for message in sent))
