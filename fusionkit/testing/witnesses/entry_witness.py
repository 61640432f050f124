"""Run as a program in a separate process: imports the module of an entry point and records what happens.

    python -m fusionkit.testing.witnesses.entry_witness MODULE

Prints one JSON object: CPU time, what was printed, which heavy packages were loaded, and where.
"""

from __future__ import annotations

import io
import json
import sys
import time
from importlib import import_module
from importlib.machinery import ModuleSpec
from importlib.util import find_spec
from pathlib import Path

HEAVY = ("jax", "matplotlib", "numpy", "pandas", "pydantic", "scipy", "sklearn", "tensorflow", "timm", "torch")


class _Places:
    """Finds which line of a folder is being run."""

    def __init__(self, folder: str) -> None:
        self.folder = folder

    def now(self, outermost: bool = False) -> str:
        """file:line of the innermost frame in the folder, or of the outermost; '' when there is none."""
        frame, found = sys._getframe(1), ""
        while frame.f_back and not (found and not outermost):
            if frame.f_code.co_filename.startswith(self.folder):
                found = f"{frame.f_code.co_filename}:{frame.f_lineno}"
            frame = frame.f_back
        return found


class _Loads:
    """Precedes Python's finders: records who imports a heavy package, and finds nothing."""

    def __init__(self, places: _Places) -> None:
        self.places = places
        self.seen: dict[str, str] = {}

    def find_spec(self, name: str, path: object = None, target: object = None) -> ModuleSpec | None:
        """None; the finders after this one do the work."""
        if name in HEAVY:
            self.seen.setdefault(name, self.places.now(outermost=True))
        return None


class _Printed(io.StringIO):
    """A stream that records where the first text came from."""

    def __init__(self, places: _Places) -> None:
        super().__init__()
        self.places = places
        self.place = ""

    def write(self, text: str) -> int:
        """Keeps the text."""
        if text.strip() and not self.place:
            self.place = self.places.now()
        return super().write(text)


def main(module: str) -> None:
    """Imports the module and prints what was seen."""
    import_module("fusionkit.api")  # every plugin imports it, so its time does not count
    spec = find_spec(module.partition(".")[0])
    origin = spec.origin if spec and spec.origin else ""
    places = _Places(str(Path(origin).parent))
    loads, printed, streams = _Loads(places), _Printed(places), (sys.stdout, sys.stderr)
    sys.meta_path.insert(0, loads)
    sys.stdout = sys.stderr = printed
    started = time.process_time()
    try:
        import_module(module)
    finally:
        seconds = time.process_time() - started
        sys.stdout, sys.stderr = streams
    json.dump({"seconds": seconds, "printed": printed.getvalue().strip(), "printed_at": printed.place,
               "loaded": loads.seen, "origin": origin}, sys.stdout)


if __name__ == "__main__":
    main(sys.argv[1])
