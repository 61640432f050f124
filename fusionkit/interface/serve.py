"""`fusionkit serve`: a trained network that answers over HTTP."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from importlib.util import find_spec
from inspect import signature
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any, Unpack

from fusionkit.components.requirements import pip_install
from fusionkit.data.loading import Cohort
from fusionkit.data.processors import usable_processors
from fusionkit.data.signature import HeadTarget, InputNeed
from fusionkit.deployment.exported import DATA
from fusionkit.deployment.record import is_exported
from fusionkit.deployment.views import Views
from fusionkit.errors import DataError, Diagnostic, GraphError, UserError
from fusionkit.files import read_text
from fusionkit.inference.head_result import HeadResult
from fusionkit.interface.console import console_for
from fusionkit.interface.exported import open_for_use
from fusionkit.interface.run_keywords import RunKeywords, run_keywords
from fusionkit.serving.engine import Engine, RequestLimits
from fusionkit.serving.private import server_folder
from fusionkit.syntax.reader import read_file
from fusionkit.syntax.tree import to_plain

if TYPE_CHECKING:
    from starlette.applications import Starlette

LOOPBACK = ("127.0.0.1", "::1", "localhost")
SERVED = "FUSIONKIT_SERVED"
"""The variable that tells a process which network to serve: JSON of the keywords of `application`, with the file of the
token in place of the token."""
_WORKER, _PATIENCE = "fusionkit.interface.served_worker:made", "timeout_worker_healthcheck"
TOKEN = "FUSIONKIT_TOKEN"  # noqa: S105 - the name of the variable that holds it
_SHORTEST, MOST_WORKERS, _CONNECTIONS = 16, 256, 512


class ExportedEngine:
    """An exported network as what answers requests."""

    def __init__(self, folder: str | Path, options: RunKeywords, samples: int | None) -> None:
        self._opened = opened = open_for_use(folder, options, samples)
        self.name = opened.record.name
        self.uncertainty: str | None = None
        self.data: Mapping[str, Any] = to_plain(read_file(opened.first.folder / DATA, DataError))
        self.heads: Mapping[str, HeadTarget] = {name: head.target for name, head in opened.first.heads.items()}
        self.inputs: Mapping[str, InputNeed] = {item.name: item.need for item in opened.record.inputs}
        self.preprocessing, self.registry = opened.first.preprocessing, opened.registry
        self.at_once = opened.record.batch_size
        for part in opened.parts:
            assert part.networks, "an export without networks; please report"  # read now, not with the first request

    def prepared(self, cohort: Cohort) -> list[Views]:
        """The first case as arrays, of every fold."""
        return self._opened.prepared(cohort)

    def results(self, cases: Sequence[list[Views]]) -> dict[str, HeadResult]:
        """Each head's results, calibrated and decided."""
        return self._opened.results(cases)


def engine_of(run: str | PathLike[str], options: RunKeywords, samples: int | None = None) -> Engine:
    """What answers for a run or an exported network.

    Raises: what opening it raises.
    """
    if is_exported(run):
        return ExportedEngine(Path(run), options, samples)
    from fusionkit.interface.served_run import RunEngine

    return RunEngine(run, options, samples)


@run_keywords
def application(run: str | PathLike[str], *, limits: RequestLimits | None = None, token: str | None = None,
                hosts: Sequence[str] = ("*",), samples: int | None = None, counts: str | Path | None = None,
                **options: Unpack[RunKeywords]) -> Starlette:
    """The web application of a run or an exported network, for a server of your own; `hosts` are its names.

    Processes that serve together add up what `/metrics` tells in the folder `counts`.
    Raises: GraphError with `missing-package` or `not-served`, and what opening the network raises.
    """
    if find_spec("python_multipart") is None:
        raise GraphError(Diagnostic("missing-package", "python-multipart is not installed", why="it reads requests",
                                    fix=pip_install("fusionkit[serve]")))
    from fusionkit.serving import app

    return app.application(engine_of(run, options, samples), limits, token=token, hosts=tuple(hosts),
                           counts=None if counts is None else Path(counts))


@run_keywords
def serve(
    run: str | PathLike[str],
    *,
    host: str = "127.0.0.1",
    port: int = 8000,
    token_file: str | Path | None = None,
    names: Sequence[str] = (),
    limits: RequestLimits | None = None,
    samples: int | None = None,
    workers: int = 1,
    **options: Unpack[RunKeywords],
) -> None:
    """Answer requests until the process is told to end; what has been accepted is answered first.

    The token is the first line of `token_file`, or the variable FUSIONKIT_TOKEN; without one only this machine can ask.
    `names` are the names by which the server is asked, where these are not `host`. With several `workers` as many
    processes answer, each with the network and limits of its own; one that dies is replaced.
    Raises: UserError with `token-needed` or `bad-argument`, and what `application` raises.
    """
    token = token_of(token_file)
    check_reachable(host, token)
    check_workers(workers, options["components"])
    limits = limits or RequestLimits()
    shown = console_for(options["console"], options["quiet"])
    # A supervisor on this machine asks for /health by the machine's own names.
    allowed = [*LOOPBACK, "[::1]", *names] if names or host in LOOPBACK else ["*"]
    options["console"] = shown
    given: dict[str, Any] = {"hosts": allowed, "samples": samples, **options}
    made = application(run, limits=limits, token=token, **given)
    import uvicorn

    from fusionkit.serving.protocol import PatientForAWhile

    by = f" by {workers} processes" if workers > 1 else ""
    shown.note(f"serving {str(run)!r} at http://{host}:{port}{by}, with a token" if token else
               f"serving {str(run)!r} at http://{host}:{port}{by}, for this machine alone")
    shown.note("research software, no medical device; nothing of a case is logged or kept")
    at: dict[str, Any] = {
        "host": host, "port": port, "log_level": "error", "access_log": False, "server_header": False,
        "http": PatientForAWhile, "timeout_graceful_shutdown": int(limits.seconds),
        "limit_concurrency": max(4 * limits.waiting, _CONNECTIONS)}
    if workers == 1:
        uvicorn.run(made, **at)
        return
    del made  # it was made to refuse here what cannot be served; each process makes one of its own
    _serve_together(workers, {"run": os.fspath(run), "limits": vars(limits), "token_file": token_file, **given}, at)


def _serve_together(workers: int, served: Mapping[str, Any], at: Mapping[str, Any]) -> None:
    """Run so many processes until told to end. `served` are the keywords of `application`, `at` those of uvicorn."""
    import uvicorn

    threads = str(max(1, usable_processors() // workers))
    with server_folder() as counts:
        text = json.dumps({**served, "console": None, "quiet": True, "counts": counts}, default=str)
        os.environ |= {SERVED: text, "OMP_NUM_THREADS": os.environ.get("OMP_NUM_THREADS", threads)}
        # A process that imports on a busy machine is not one that hangs; older releases fix this at 5 seconds.
        patient: dict[str, Any] = {_PATIENCE: 60} if _PATIENCE in signature(uvicorn.Config.__init__).parameters else {}
        uvicorn.run(_WORKER, factory=True, workers=workers, **at, **patient)


def check_workers(workers: int, components: Sequence[Any]) -> None:
    """Refuse a number of processes that there cannot be. Raises: UserError with `bad-argument`."""
    if not 1 <= workers <= MOST_WORKERS:
        raise UserError(Diagnostic("bad-argument", f"--workers cannot be {workers}",
                                   fix=f"it is 1 to {MOST_WORKERS}; each holds the network in memory"))
    if workers > 1 and components:
        raise UserError(Diagnostic("bad-argument", "several workers cannot have components of this process",
                                   why="each is a process of its own, which reads its components from files",
                                   fix="give the Python files as `plugins`"))


def token_of(file: str | Path | None) -> str | None:
    """The token, None without one.

    Raises: UserError with `bad-token` for one that is short, or a file that cannot be read.
    """
    try:
        token = read_text(file).splitlines()[0].strip() if file is not None else os.environ.get(TOKEN, "").strip()
    except (OSError, ValueError, IndexError) as error:
        raise UserError(Diagnostic("bad-token", f"cannot read a token from {str(file)!r}", why=str(error),
                                   fix="its first line is the token")) from None
    if not token and file is None:
        return None
    if len(token) < _SHORTEST or not token.isascii() or not token.isprintable() or " " in token:
        raise UserError(Diagnostic("bad-token", "the token can be guessed, or does not fit into a header",
                                   why=f"it needs {_SHORTEST} or more letters, digits and signs without blanks",
                                   fix="python -c 'import secrets; print(secrets.token_urlsafe(32))'"))
    return token


def check_reachable(host: str, token: str | None) -> None:
    """Refuse to listen to other machines without a token. Raises: UserError with `token-needed`."""
    if host not in LOOPBACK and token is None:
        raise UserError(Diagnostic(
            "token-needed", f"--host {host} can be reached from other machines",
            why="whoever reaches it could send cases and see results",
            fix=f"set a token in {TOKEN} or with --token-file, or leave --host out; put TLS before it"))
