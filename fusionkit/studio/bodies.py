"""What comes in the body of a request, and what the worker answers to it."""

from __future__ import annotations

import json
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from fusionkit.studio.guard import answer
from fusionkit.studio.link import WorkerLink


async def body_of(request: Request) -> dict[str, Any]:
    """The object in the body of a request.

    Raises: ValueError or TypeError where it has none.
    """
    found = json.loads(await request.body())
    if not isinstance(found, dict):
        raise TypeError("an object is expected")
    return found


def text_of(given: dict[str, Any], name: str) -> str:
    """A text of a request's body.

    Raises: TypeError where it is something else.
    """
    found = given.get(name)
    if not isinstance(found, str):
        raise TypeError(f"{name} is a text")
    return found


async def answered(link: WorkerLink, call: str, given: dict[str, Any]) -> Response:
    """What the worker answers to a call.

    Raises: WorkerError where it gives no answer.
    """
    found = await link.ask(call, given)
    if "error" in found:
        return answer(400, str(found["code"]), str(found["error"]))
    return JSONResponse(found["result"])
