"""One of several processes that answer for a network together. What to serve stands in a variable of its environment.

The processes are those of uvicorn, which starts a new one for each that dies and ends them when it ends.
"""

from __future__ import annotations

import json
import multiprocessing
import os
import signal
from threading import Thread
from typing import TYPE_CHECKING

from fusionkit.interface.serve import SERVED, application, token_of
from fusionkit.serving.engine import RequestLimits

if TYPE_CHECKING:
    from starlette.applications import Starlette


def made() -> Starlette:
    """The application, in a process that uvicorn started; it ends with the process that started it."""
    given = json.loads(os.environ[SERVED])
    parent = multiprocessing.parent_process()
    if parent is not None:
        Thread(target=_end_with, args=(parent.sentinel,), daemon=True).start()
    run, limits, token_file = (given.pop(name) for name in ("run", "limits", "token_file"))
    return application(run, limits=RequestLimits(**limits), token=token_of(token_file), **given)


def _end_with(sentinel: int) -> None:
    """End as SIGTERM does, accepted cases answered, when the parent has ended without telling."""
    from multiprocessing.connection import wait

    wait([sentinel])
    os.kill(os.getpid(), signal.SIGTERM)
