"""Connections on which nothing complete arrives are closed. Imported late, with uvicorn."""

from __future__ import annotations

import asyncio
from typing import Any, cast

from uvicorn.protocols.http.h11_impl import H11Protocol

SECONDS = 10.0
"""How long a connection may be open without the head of a request: else whoever opens many, and is silent or slow,
takes all there may be. Bodies have the seconds of the request."""


class PatientForAWhile(H11Protocol):
    """HTTP/1.1 that waits so long for the head of the first request, and of each further one that has begun."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Begin to watch the connection."""
        super().connection_made(transport)
        self._watched = asyncio.get_running_loop().call_later(SECONDS, self._look, None)

    def connection_lost(self, exc: Exception | None) -> None:
        """End watching."""
        self._watched.cancel()
        super().connection_lost(exc)

    def _look(self, before: Any) -> None:
        """Close the connection if since the last look no request has begun and none is being answered."""
        now = cast(Any, self.cycle)
        if now is before and (now is None or now.response_complete):
            self.transport.close()
            return
        self._watched = asyncio.get_running_loop().call_later(SECONDS, self._look, now)
