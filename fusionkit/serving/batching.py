"""Simultaneous requests as one batch: a queue with an end, and one thread in which the network runs."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from fusionkit.inference.head_result import HeadResult
from fusionkit.serving.case import ReadCase, UploadReader
from fusionkit.serving.engine import Engine, RequestLimits
from fusionkit.serving.metrics import Metrics
from fusionkit.serving.uploads import Upload


class BusyError(Exception):
    """As many cases wait as may."""


@dataclass(frozen=True)
class Answered:
    """A case, the results of the batch that it was in, and its place in them."""

    case: ReadCase
    results: Mapping[str, HeadResult]
    row: int


class Batcher:
    """Reads cases in a few threads and runs the network in one, on as many cases as have come."""

    def __init__(self, engine: Engine, limits: RequestLimits, metrics: Metrics) -> None:
        self.engine, self.limits, self.metrics = engine, limits, metrics
        self.reader = UploadReader(engine, limits)
        self.waiting = 0
        self._reading = ThreadPoolExecutor(limits.readers, "fusionkit-read")
        self._running = ThreadPoolExecutor(1, "fusionkit-run")
        self._ready: asyncio.Queue[tuple[ReadCase, asyncio.Future[Answered]]] = asyncio.Queue()
        self._worker: asyncio.Task[None] | None = None
        self._tasks: set[asyncio.Task[Answered]] = set()

    def start(self) -> None:
        """Begin to answer; in a running event loop."""
        self._worker = asyncio.get_running_loop().create_task(self._run())

    async def stop(self) -> None:
        """Answer what has been accepted, then end."""
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=self.limits.seconds)
        if self._worker:
            self._worker.cancel()
            with suppress(asyncio.CancelledError):
                await self._worker
        self._reading.shutdown(wait=False, cancel_futures=True)
        self._running.shutdown(wait=False, cancel_futures=True)

    async def answer(self, upload: Upload) -> Answered:
        """The results for the case of a request.

        A case whose time is over keeps its place until its work has ended, so that work cannot pile up.
        Raises: BusyError, TimeoutError, and the DataError of a case that cannot be read.
        """
        if self.waiting >= self.limits.waiting:
            raise BusyError
        self.waiting += 1
        task = asyncio.get_running_loop().create_task(self._case(upload))
        self._tasks.add(task)
        task.add_done_callback(self._done)
        return await asyncio.wait_for(asyncio.shield(task), self.limits.seconds)

    def _done(self, task: asyncio.Task[Answered]) -> None:
        self.waiting -= 1
        self._tasks.discard(task)
        if not task.cancelled():
            task.exception()  # it was told to whoever waited, or nobody waits any more

    async def _case(self, upload: Upload) -> Answered:
        loop = asyncio.get_running_loop()
        case = await loop.run_in_executor(self._reading, self.reader.read, upload)
        found: asyncio.Future[Answered] = loop.create_future()
        self._ready.put_nowait((case, found))
        return await found

    async def _run(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            together = [await self._ready.get()]
            if self.engine.at_once > 1 and self.waiting > 1:
                await asyncio.sleep(self.limits.gather)
            while not self._ready.empty() and len(together) < self.engine.at_once:
                together.append(self._ready.get_nowait())
            cases = [case.prepared for case, _ in together]
            try:
                results: Any = await loop.run_in_executor(self._running, self.engine.results, cases)
            except Exception as error:  # one batch fails, the server goes on
                results = error
            self.metrics.add("fusionkit_batches_total")
            self.metrics.add("fusionkit_batch_cases_total", len(cases))
            for row, (case, found) in enumerate(together):
                if found.done():
                    continue
                if isinstance(results, Exception):
                    found.set_exception(results)
                else:
                    found.set_result(Answered(case, results, row))
