"""Guards the import of other packages: their side effects are contained and reported with the package's name."""

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

SECONDS_REPORTED, SECONDS_ALLOWED = 5.0, 20.0
"""Seconds after which a slow import is reported to the user, and after which it is given up."""
SECONDS_HEAVY = 30.0
"""Seconds after which the import of a component is reported, which may load large libraries first."""


class _TooLong(BaseException):
    """Raised inside an import that does not end; not caught by `except Exception` in the package."""


class _Exited(BaseException):
    """Raised instead of ending the process."""


@contextlib.contextmanager
def guarded(package: str, *, limited: bool = True) -> Iterator[None]:
    """Run code of a package: of its exceptions, only an `Exception` is passed on unchanged.

    Anything that ends a program (SystemExit, KeyboardInterrupt, `os._exit`, any BaseException) becomes a StoppedError,
    unless the user pressed Ctrl-C. Its output goes to standard error, standard input is empty, and the working folder
    is restored. With `limited`, code that does not end is reported after some seconds and later given up; without, for
    components, it is only reported. A crash leaves a Python traceback on standard error.
    """
    pressed: list[int] = []
    with _Folder(), output_apart(), _no_exit(), _crash_reported(), _interrupts(pressed), _clock(package, limited):
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
    """Restores the working folder."""

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
def output_apart() -> Iterator[None]:
    """Redirects standard output to standard error, for Python and for native libraries; standard input is empty."""
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
    """A copy of file descriptor 1, which is then redirected to standard error; None if one of the two is closed."""
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
    """Within, `os._exit` in this process and thread raises."""
    real, own, active = os._exit, (os.getpid(), threading.get_ident()), [True]

    def exit_(status: int) -> Any:
        # A child forked in the meantime has to exit.
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
def _crash_reported() -> Iterator[None]:
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
    """Records in `pressed` that the user pressed Ctrl-C, since a package may also raise KeyboardInterrupt itself."""
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
    """Reports a slow import, then ends it; does nothing if the system has no such signal or it is in use."""
    free = (hasattr(signal, "setitimer") and threading.current_thread() is threading.main_thread()
            and signal.getsignal(signal.SIGALRM) is signal.SIG_DFL)
    if not free:
        yield
        return
    reported: list[bool] = []

    def ring(number: int, frame: Any) -> None:
        if reported and limited:
            raise _TooLong(f"its import was given up after {SECONDS_ALLOWED:g} s")
        if not reported:
            text = (f"fusionkit: importing the plugin package {package} takes long; "
                    f"FUSIONKIT_PLUGINS_DISABLE={package} leaves it out\n")
            with contextlib.suppress(OSError):
                os.write(2, text.encode("utf-8", "backslashreplace"))
        reported.append(True)

    signal.signal(signal.SIGALRM, ring)
    first = SECONDS_REPORTED if limited else SECONDS_HEAVY
    signal.setitimer(signal.ITIMER_REAL, first, SECONDS_ALLOWED - SECONDS_REPORTED)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, signal.SIG_DFL)
