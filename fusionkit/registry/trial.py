"""Imports a package in a process of its own first, if it is not known to survive that: a crash ends only that process.

The result is cached by the version of the package and the files of its module, so that it is tried once. What has been
imported in this process is not tried at all.
"""

from __future__ import annotations

import contextlib
import importlib.util
import os
import re
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

from fusionkit.files import plain_json, write_json
from fusionkit.registry import guard

_CACHE = "imports.json"
_PROGRAM = "import faulthandler, sys; faulthandler.enable(); __import__(sys.argv[1])"
_PLACE = re.compile(r'File "(?!<)([^"]+)", line (\d+)')
_WINDOWS_CRASH = 0xC0000000
"""The lowest exit code of a process that Windows ended."""
_MOST_ENTRIES = 200


_undecided: set[str] = set()
"""Modules of which a trial took too long in this process."""


def crash_of(module: str, version: str) -> str:
    """How the import of a module ends Python, with the place; empty if it does not, or takes too long to be tried."""
    if module in sys.modules or module in _undecided:
        return ""
    stamp = _stamp(module, version)
    found = _known().get(module)
    if stamp and isinstance(found, list) and found[:1] == [stamp] and isinstance(found[-1], str):
        return found[-1]
    crash = _tried(module)
    if crash is None:
        _undecided.add(module)
        return ""
    _keep(module, stamp, crash)
    return crash


def survived(module: str, version: str) -> None:
    """Records that this process has imported a module whose trial took too long, so that it is tried no more."""
    if module in _undecided:
        _undecided.discard(module)
        _keep(module, _stamp(module, version), "")


def _known() -> dict[str, Any]:
    cache = _cache_file()
    return (plain_json(cache) or {}) if cache is not None else {}


def _keep(module: str, stamp: str, crash: str) -> None:
    cache, known = _cache_file(), _known()
    if stamp and cache is not None:
        kept = dict(list(known.items())[-_MOST_ENTRIES:])
        with contextlib.suppress(OSError):
            write_json(cache, kept | {module: [stamp, crash]})


def _tried(module: str) -> str | None:
    """The same, without the cache; None if it was not decided in time."""
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    try:
        done = subprocess.run(  # noqa: S603 - the interpreter that would import it next
            [sys.executable, "-c", _PROGRAM, module], env=environment, stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, timeout=guard.SECONDS_REPORTED, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return None
    if 0 <= done.returncode < _WINDOWS_CRASH or done.returncode == -signal.SIGINT:
        return ""  # an exception, KeyboardInterrupt too, or an exit: importing it here, guarded, says more
    places = _PLACE.findall(done.stderr.decode("utf-8", "replace"))
    # The innermost first: that of the package, rather than that of a library which it calls.
    own = [place for place in places if f"{os.sep}{module.partition('.')[0]}" in place[0]]
    where = " at {}:{}".format(*(own or places)[0]) if places else ""
    return f"its import ends Python ({_name(done.returncode)}){where}"


def _name(code: int) -> str:
    try:
        return signal.Signals(-code).name
    except ValueError:
        return f"exit code {code}"


def _stamp(module: str, version: str) -> str:
    """What the result depends on: the version and the files beside the module; empty if it has no files."""
    try:
        # Not of a submodule: that would import its package.
        spec = importlib.util.find_spec(module.partition(".")[0])
        if spec is None or not spec.origin:
            return ""
        origin = Path(spec.origin)
        files = sorted(origin.parent.glob("*.py")) if spec.submodule_search_locations else [origin]
        stamps = [f"{path.name}:{path.stat().st_mtime_ns}" for path in files]
    except (OSError, ValueError, ImportError, AttributeError):
        return ""
    return "|".join([sys.version, version, str(origin), *stamps])


def _cache_file() -> Path | None:
    """Where results are kept, as other programs keep what they can make again; None for a user without a home."""
    named = os.environ.get("XDG_CACHE_HOME")
    try:
        return Path(named or Path.home() / ".cache") / "fusionkit" / _CACHE
    except RuntimeError:
        return None
