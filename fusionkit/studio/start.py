"""Starts the studio: a socket of this machine alone, a new token, the address, the browser."""

from __future__ import annotations

import contextlib
import html
import os
import secrets
import socket
import tempfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import uvicorn

from fusionkit.errors import DataError, Diagnostic
from fusionkit.studio.graph_files import StudioFolder
from fusionkit.studio.link import WorkerLink
from fusionkit.studio.server import make_app

FIRST_PORT, TRIED = 8765, 100


def serve(folder: StudioFolder, *, port: int | None, plugins: Sequence[str], open_browser: bool,
          told: Callable[[str], None]) -> None:
    """Serve until interrupted; `told` gets the address once the socket listens.

    Raises: DataError with `port-in-use`.
    """
    listening = _socket(port)
    number = listening.getsockname()[1]
    token = secrets.token_urlsafe(24)
    hosts = [f"127.0.0.1:{number}", f"localhost:{number}"]
    app = make_app(folder, token, hosts, WorkerLink(plugins), plugins)
    address = f"http://{hosts[0]}/#token={token}"
    told(address)
    with _forwarding(address) if open_browser else contextlib.nullcontext():
        # No access log: it would show nothing but the page's own requests.
        uvicorn.Server(uvicorn.Config(app, log_level="warning", access_log=False,
                                      timeout_graceful_shutdown=2)).run(sockets=[listening])


def _socket(port: int | None) -> socket.socket:
    """A socket on 127.0.0.1 at the port, or at the first free one from 8765 on."""
    for number in [port] if port is not None else range(FIRST_PORT, FIRST_PORT + TRIED):
        made = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            made.bind(("127.0.0.1", number))
            made.listen(64)
            return made
        except OSError:
            made.close()
    raise DataError(Diagnostic("port-in-use", "no port is free on this machine" if port is None else
                               f"the port {port} is in use or may not be used", fix="give another one: --port 8800"))


@contextlib.contextmanager
def _forwarding(address: str) -> Iterator[None]:
    """Open the browser by a file that only its owner may read: the list of processes does not show the token."""
    import webbrowser

    descriptor, name = tempfile.mkstemp(prefix="fusionkit-studio-", suffix=".html")
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        file.write(f'<!doctype html><meta http-equiv="refresh" content="0;url={html.escape(address)}">')
    try:
        webbrowser.open(Path(name).as_uri())
        yield
    finally:
        Path(name).unlink(missing_ok=True)
