"""One of several processes that answer for a network together. What to serve stands in a variable of its environment.

The processes are those of uvicorn, which starts a new one for each that dies and ends them when it ends.
"""

from __future__ import annotations

import json
import multiprocessing
import os
import signal
from collections.abc import Mapping
from inspect import signature
from threading import Thread
from typing import TYPE_CHECKING, Any

from fusionkit.data.processors import usable_processors
from fusionkit.interface.serve import application, token_of
from fusionkit.serving.engine import RequestLimits
from fusionkit.serving.private import server_folder

if TYPE_CHECKING:
    from starlette.applications import Starlette

SERVED = "FUSIONKIT_SERVED"
"""The variable: JSON of the keywords of `application`, with the file of the token in place of the token."""
_PATIENCE = "timeout_worker_healthcheck"


def serve_together(workers: int, served: Mapping[str, Any], at: Mapping[str, Any]) -> None:
    """Run so many processes until told to end. `served` are the keywords of `application`, `at` those of uvicorn."""
    import uvicorn

    threads = str(max(1, usable_processors() // workers))
    with server_folder() as counts:
        text = json.dumps({**served, "console": None, "quiet": True, "counts": counts}, default=str)
        os.environ |= {SERVED: text, "OMP_NUM_THREADS": os.environ.get("OMP_NUM_THREADS", threads)}
        # A process that imports on a busy machine is not one that hangs; older releases fix this at 5 seconds.
        patient = {_PATIENCE: 60} if _PATIENCE in signature(uvicorn.Config.__init__).parameters else {}
        uvicorn.run(f"{__name__}:{made.__name__}", factory=True, workers=workers, **at, **patient)


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
