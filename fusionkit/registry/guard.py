"""Code of other packages that runs while they are imported: what it does stays with the package and names it."""

from __future__ import annotations

import contextlib
import faulthandler
import io
import os
import signal
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from fusionkit.components.failures import StoppedError

SECONDS_TOLD, SECONDS_ALLOWED = 5.0, 20.0
"""After how long an import that goes on is told to the user, and after how long it is given up."""
SECONDS_HEAVY = 30.0
"""After how long the import of a component is told, which may load large libraries first."""


class _TooLong(BaseException):
    """Raised within an import that does not end; no `except Exception` of the package swallows it."""


class _Exited(BaseException):
    """Raised in place of the end of the process."""


@contextlib.contextmanager
def guarded(package: str, *, limited: bool = True) -> Iterator[None]:
    """Run code of a package: nothing that it raises but an `Exception` comes out as it was.

    What ends a program (SystemExit, KeyboardInterrupt, `os._exit`, any BaseException) becomes a StoppedError, unless
    the user pressed Ctrl-C. What it prints goes to standard error, standard input is at its end, and the working
    folder is put back. With `limited`, code that does not end is named after some seconds and then given up; without,
    for components, it is only named. A crash leaves the lines of Python that led to it on standard error.
    """
    pressed: list[int] = []
    with _Folder(), _redirected(), _no_exit(), _crash_told(), _interrupts(pressed), _clock(package, limited):
        try:
            yield
        except Exception:
            raise
        except BaseException as error:
            if pressed and isinstance(error, KeyboardInterrupt):
                error.add_note(f"the plugin package {package} was being imported")
                raise
            raise StoppedError(error) from error


class _Folder:
    """Puts the working folder back where it was."""

    def __enter__(self) -> None:
        try:
            self.before: Path | None = Path.cwd()
        except OSError:
            self.before = None

    def __exit__(self, *_: object) -> None:
        with contextlib.suppress(OSError):
            if self.before and self.before != Path.cwd():
                os.chdir(self.before)


@contextlib.contextmanager
def _redirected() -> Iterator[None]:
    """Standard output into standard error, for Python and for libraries in other languages; no standard input."""
    source, output = sys.stdin, sys.stdout
    sys.stdin = io.StringIO()
    sys.stdout = sys.stderr or io.StringIO()
    copy = _diverted(output)
    try:
        yield
    finally:
        with contextlib.suppress(OSError, ValueError):
            sys.stdout.flush()
        sys.stdin, sys.stdout = source, output
        if copy is not None:
            os.dup2(copy, 1)
            os.close(copy)


def _diverted(output: Any) -> int | None:
    """A copy of file descriptor 1, which now is that of standard error; None where one of the two is closed."""
    try:
        if output is not None:
            output.flush()
        copy = os.dup(1)
    except (OSError, ValueError):
        return None
    try:
        os.dup2(2, 1)
    except OSError:
        os.close(copy)
        return None
    return copy


@contextlib.contextmanager
def _no_exit() -> Iterator[None]:
    """`os._exit` of this process and thread raises, within the block alone."""
    real, own, active = os._exit, (os.getpid(), threading.get_ident()), [True]

    def exit_(status: int) -> Any:
        # A child that was forked meanwhile has to end.
        if active and own == (os.getpid(), threading.get_ident()):
            raise _Exited(f"os._exit({status})")
        real(status)

    os._exit = exit_
    try:
        yield
    finally:
        active.clear()
        os._exit = real


@contextlib.contextmanager
def _crash_told() -> Iterator[None]:
    if faulthandler.is_enabled():
        yield
        return
    try:
        faulthandler.enable(2)
    except (OSError, ValueError, RuntimeError):
        yield
        return
    try:
        yield
    finally:
        faulthandler.disable()


@contextlib.contextmanager
def _interrupts(pressed: list[int]) -> Iterator[None]:
    """Notes in `pressed` that the user pressed Ctrl-C, which a package may raise by itself too."""
    before = signal.getsignal(signal.SIGINT)
    if threading.current_thread() is not threading.main_thread() or not callable(before):
        yield
        return

    def press(number: int, frame: Any) -> None:
        pressed.append(number)
        before(number, frame)

    signal.signal(signal.SIGINT, press)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


@contextlib.contextmanager
def _clock(package: str, limited: bool) -> Iterator[None]:
    """Says that an import takes long, then ends it; where a system has no such signal or it is in use, neither."""
    free = (hasattr(signal, "setitimer") and threading.current_thread() is threading.main_thread()
            and signal.getsignal(signal.SIGALRM) is signal.SIG_DFL)
    if not free:
        yield
        return
    told: list[bool] = []

    def ring(number: int, frame: Any) -> None:
        if told and limited:
            raise _TooLong(f"its import was given up after {SECONDS_ALLOWED:g} s")
        if not told:
            text = (f"fusionkit: importing the plugin package {package} takes long; "
                    f"FUSIONKIT_PLUGINS_DISABLE={package} leaves it out\n")
            with contextlib.suppress(OSError):
                os.write(2, text.encode("utf-8", "backslashreplace"))
        told.append(True)

    signal.signal(signal.SIGALRM, ring)
    signal.setitimer(signal.ITIMER_REAL, SECONDS_TOLD if limited else SECONDS_HEAVY, SECONDS_ALLOWED - SECONDS_TOLD)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, signal.SIG_DFL)
