"""Ctrl-C and SIGTERM: recorded when they arrive, handled where the run can be stopped cleanly."""

from __future__ import annotations

import signal
import threading
from types import FrameType, TracebackType
from typing import Any

from fusionkit.errors import RunError

_SIGNALS = (signal.SIGINT, signal.SIGTERM)


class Interrupted(RunError):  # noqa: N818 - the builtin InterruptedError is about system calls
    """A run was stopped from outside in a clean state; it can be resumed."""


class Interruption:
    """Records the first Ctrl-C or SIGTERM inside its block; a second one raises KeyboardInterrupt immediately.

    Outside the main thread, where Python allows no handlers, it records nothing.
    """

    def __init__(self) -> None:
        self.signal: int | None = None
        self._before: dict[int, Any] = {}

    def __enter__(self) -> Interruption:
        if threading.current_thread() is threading.main_thread():
            self._before = {number: signal.signal(number, self._note) for number in _SIGNALS}
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None,
                 trace: TracebackType | None) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def _note(self, number: int, frame: FrameType | None) -> None:
        if self.signal is not None:
            raise KeyboardInterrupt
        self.signal = number

    @property
    def name(self) -> str:
        """What stopped the run, for messages."""
        return "SIGTERM" if self.signal == signal.SIGTERM else "Ctrl-C"
