"""The server's end of the worker: one process, started anew where it ends or takes too long."""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import Sequence
from contextlib import suppress
from typing import Any

LIMIT = 20.0
"""Seconds after which a request has failed and the worker is ended: a component hangs, or needs a huge tensor."""
STARTING = 120.0
"""Seconds that a start may take, and with it the first request: packages such as torch are imported then."""
_LONGEST = 64 << 20


class WorkerError(Exception):
    """The worker gave no answer; `slow` where it took too long."""

    def __init__(self, message: str, slow: bool = False) -> None:
        super().__init__(message)
        self.slow = slow


class WorkerLink:
    """Sends requests to a worker, which answers them in order; where it ends, the next request starts another.

    Requests belong to the worker that they were sent to: its end fails them and no others.
    """

    def __init__(self, plugins: Sequence[str] = (), command: Sequence[str] = ("-m", "fusionkit.studio.worker"),
                 limit: float = LIMIT) -> None:
        self._command = (sys.executable, *command, *plugins)
        self._limit = limit
        self._starting = asyncio.Lock()
        self._worker: _Worker | None = None

    @property
    def ready(self) -> bool:
        """Whether a worker waits for requests."""
        return self._worker is not None and self._worker.proven

    async def start(self) -> None:
        """Start the worker and wait until it answers, so that the first request need not wait for its imports."""
        with suppress(WorkerError):
            await self.ask("published", {})

    async def ask(self, call: str, given: dict[str, Any]) -> dict[str, Any]:
        """The worker's answer: `result`, or `error` and `code`.

        Raises: WorkerError.
        """
        worker = await self._running()
        limit = self._limit if worker.proven else max(self._limit, STARTING)
        try:
            found = await asyncio.wait_for(worker.ask(call, given), limit)
        except TimeoutError:
            await worker.end()
            raise WorkerError(f"it took longer than {limit:g} s and was ended: a component may hang",
                              slow=True) from None
        except OSError:
            await worker.end()
            raise WorkerError("the process that checks graphs ended: a component may have ended it") from None
        worker.proven = True
        return found

    async def restart(self) -> None:
        """End the worker and start another, which imports everything anew; waits until it answers."""
        await self.stop()
        await self.start()

    async def stop(self) -> None:
        """End the worker."""
        if self._worker is not None:
            await self._worker.end()

    async def _running(self) -> _Worker:
        async with self._starting:
            if self._worker is None or not self._worker.lives:
                self._worker = await _Worker.started(self._command)
            return self._worker


class _Worker:
    """One process, and the requests that wait for its answers."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self.process = process
        self.proven = False
        self._number = 0
        self._waiting: dict[int, asyncio.Future[dict[str, Any]]] = {}
        self._reading = asyncio.create_task(self._read())

    @classmethod
    async def started(cls, command: Sequence[str]) -> _Worker:
        process = await asyncio.create_subprocess_exec(
            *command, stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE, limit=_LONGEST)
        return cls(process)

    @property
    def lives(self) -> bool:
        return self.process.returncode is None and not self._reading.done()

    async def ask(self, call: str, given: dict[str, Any]) -> dict[str, Any]:
        """The answer to a request.

        Raises: OSError if the process ends before it.
        """
        assert self.process.stdin is not None, "the worker is started with pipes; please report"
        self._number += 1
        number = self._number
        future: asyncio.Future[dict[str, Any]] = asyncio.get_running_loop().create_future()
        self._waiting[number] = future
        try:
            if self._reading.done():
                raise OSError("the worker ended")
            self.process.stdin.write((json.dumps({"id": number, "call": call, "with": given}) + "\n").encode())
            await self.process.stdin.drain()
            return await future
        finally:
            self._waiting.pop(number, None)

    async def end(self) -> None:
        """End the process."""
        if self.process.returncode is None:
            with suppress(ProcessLookupError):
                self.process.kill()
        await self.process.wait()
        await self._reading

    async def _read(self) -> None:
        assert self.process.stdout is not None, "the worker is started with pipes; please report"
        with suppress(ValueError, KeyError):  # a line that is no answer ends the work with this process
            while line := await self.process.stdout.readline():
                found: dict[str, Any] = json.loads(line)
                future = self._waiting.get(found.pop("id"))
                if future is not None and not future.done():
                    future.set_result(found)
        for future in self._waiting.values():
            if not future.done():
                future.set_exception(OSError("the worker ended"))
