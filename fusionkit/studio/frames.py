"""The pages that commands wrote, such as reports: which there are, and one look at each for a frame of the page.

A frame asks by an address alone, without the header that has the token. It therefore gets an address of its own, which
holds for one request, and the page is let do nothing: no script, no form, no request.
"""

from __future__ import annotations

import os
import secrets
import time
from pathlib import Path

from fusionkit.files import inside, opened
from fusionkit.studio.graph_files import DEEPEST, MOST_FILES, RefusedFileError, StudioFolder

PAGES = {"report.html": "report", "inspection.html": "inspection"}
POLICY = ("sandbox; default-src 'none'; img-src data:; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'; "
          "frame-ancestors 'self'")
"""What a page in a frame may do: nothing but show its own pictures and style."""
MOST_PAGE_BYTES = 64 << 20
_SECONDS, _MOST_TICKETS = 60.0, 64


class Frames:
    """The pages below a folder, and the addresses at which the frame may fetch one, each once."""

    def __init__(self, folder: StudioFolder) -> None:
        self.folder = folder
        self._tickets: dict[str, tuple[str, float]] = {}

    def pages(self) -> list[dict[str, str]]:
        """Path and kind of each page that `report`, `compare` or `inspect` wrote below the folder."""
        found = []
        for place, folders, files in os.walk(self.folder.path):
            depth = len(Path(place).relative_to(self.folder.path).parts)
            folders[:] = [] if depth >= DEEPEST else sorted(name for name in folders if not name.startswith("."))
            found += [{"path": (Path(place) / name).relative_to(self.folder.path).as_posix(), "kind": PAGES[name]}
                      for name in sorted(PAGES.keys() & set(files))]
            if len(found) >= MOST_FILES:
                break
        return sorted(found, key=lambda each: each["path"])

    def admit(self, name: str) -> str:
        """A ticket for one look at a page, good for a minute.

        Raises: RefusedFileError.
        """
        self._content(name)
        now = time.monotonic()
        self._tickets = {key: value for key, value in self._tickets.items() if value[1] > now}
        while len(self._tickets) >= _MOST_TICKETS:
            self._tickets.pop(next(iter(self._tickets)))
        ticket = secrets.token_urlsafe(24)
        self._tickets[ticket] = (name, now + _SECONDS)
        return ticket

    def taken(self, ticket: str) -> bytes:
        """The page of a ticket, which is used up.

        Raises: RefusedFileError.
        """
        name, until = self._tickets.pop(ticket, ("", 0.0))
        if not name or until <= time.monotonic():
            raise RefusedFileError(404, "not-found", "this address was good for one look: open the page again")
        return self._content(name)

    def _content(self, name: str) -> bytes:
        path = inside(self.folder.path, name)
        if path is None:
            raise RefusedFileError(403, "outside", "it is outside the folder of the studio")
        if path.name not in PAGES or any(part.startswith(".") for part in Path(name).parts):
            raise RefusedFileError(403, "not-a-page", f"only {' and '.join(PAGES)} are shown")
        try:
            with opened(path) as stream:
                raw = stream.read(MOST_PAGE_BYTES + 1)
        except (OSError, ValueError) as error:
            raise RefusedFileError(404, "unreadable", f"it cannot be read: {error}") from None
        if len(raw) > MOST_PAGE_BYTES:
            raise RefusedFileError(413, "too-large", f"it is larger than {MOST_PAGE_BYTES >> 20} MiB")
        return raw
