"""The graph files of the studio's folder: listed, read and written; nothing outside the folder is reached."""

from __future__ import annotations

import hashlib
import os
import re
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

from fusionkit.files import inside, opened, replacing
from fusionkit.records.run_folders import CASES, COMPARED, HISTORY, IDENTITY, METRICS, RUN

MOST_FILES, DEEPEST, MOST_BYTES = 2000, 8, 1 << 20
_OF_RUNS = {RUN, CASES, HISTORY, METRICS, COMPARED, IDENTITY}
_GRAPH = re.compile(rb"^fusionkit\s*:", re.M)
_DATA = re.compile(rb"^fusionkit-data\s*:", re.M)
TABLES = (".csv", ".tsv", ".xlsx", ".parquet")
_NAME = re.compile(rb"^name\s*:[ \t]*(\S.*?)\s*(?:#.*)?$", re.M)
_BOM = b"\xef\xbb\xbf"


class RefusedFileError(Exception):
    """A file that may not be read or written; `code` is that of the answer, `status` its HTTP status."""

    def __init__(self, status: int, code: str, message: str, text: str | None = None) -> None:
        super().__init__(message)
        self.status = status
        self.code = code
        self.text = text


@dataclass(frozen=True)
class StudioFolder:
    """A folder whose graphs are shown, and with `write` changed."""

    path: Path
    write: bool = False

    def graphs(self) -> list[dict[str, Any]]:
        """Path, name and time of each graph file below the folder; those that runs wrote are left out."""
        found = []
        for path, head, changed in self._heads():
            if _GRAPH.search(head):
                name = _NAME.search(head)
                shown = name.group(1).decode("utf-8", "replace").strip("'\"") if name else path.stem
                found.append({"path": path.relative_to(self.path).as_posix(), "name": shown, "mtime": changed})
            if len(found) >= MOST_FILES:
                break
        return sorted(found, key=lambda each: each["path"])

    def sources(self) -> dict[str, list[str]]:
        """The paths of data files below the folder, and of tables that a data file may be made from."""
        data = [path for path, head, _ in self._heads() if _DATA.search(head)]
        return {name: sorted(path.relative_to(self.path).as_posix() for path in islice(found, MOST_FILES))
                for name, found in (("data", iter(data)), ("tables", self._files(TABLES)))}

    def _heads(self) -> Iterator[tuple[Path, bytes, float]]:
        """The YAML files below the folder, how each begins, and when it was changed."""
        for path in self._files((".yaml", ".yml")):
            try:
                with opened(path) as stream:
                    head, changed = stream.read(1 << 16).removeprefix(_BOM), path.stat().st_mtime
            except (OSError, ValueError):
                continue
            yield path, head, changed

    def read(self, name: str) -> dict[str, str]:
        """The text of a graph with line ends as \\n, and `base`, which names its content.

        Raises: RefusedFileError.
        """
        raw = self._content(self.place(name))
        if raw is None:
            raise RefusedFileError(404, "not-found", f"there is no file {name!r}")
        return {"path": name, "text": _text(raw), "base": _base(raw)}

    def save(self, name: str, text: str, base: str | None) -> dict[str, str]:
        """Write a graph, if it is as it was when it was read; `base` is None for a new file. Gives the new `base`.

        Line ends, byte order mark and permissions of a file stay.
        Raises: RefusedFileError; with the code `changed` and the text on disk where somebody else changed it.
        """
        if not self.write:
            raise RefusedFileError(403, "read-only", "the studio was started without --write")
        path = self.place(name)
        before = self._content(path)
        if (base is None) != (before is None) or (before is not None and _base(before) != base):
            raise RefusedFileError(409, "changed", "the file was changed by another program",
                                   _text(before) if before is not None else None)
        raw = text.encode("utf-8")
        if before is not None and b"\r\n" in before:
            raw = raw.replace(b"\n", b"\r\n")
        if before is not None and before.startswith(_BOM):
            raw = _BOM + raw
        try:
            with replacing(path) as aside:
                aside.write_bytes(raw)
                if before is not None:
                    shutil.copymode(path, aside)
        except OSError as error:
            raise RefusedFileError(403, "not-written", f"{name!r} cannot be written: {error.strerror}") from None
        return {"base": _base(raw)}

    def table(self, name: str) -> Path:
        """A table of cases inside, that a data file is to be written beside.

        Raises: RefusedFileError.
        """
        if not self.write:
            raise RefusedFileError(403, "read-only", "the studio was started without --write")
        path = inside(self.path, name)
        if path is None or Path(name).is_absolute():
            raise RefusedFileError(403, "outside", "it is outside the folder of the studio")
        if path.suffix not in TABLES or any(part.startswith(".") for part in Path(name).parts) or not path.is_file():
            raise RefusedFileError(404, "not-found", f"there is no table {name!r}")
        return path

    def folder(self, name: str) -> Path:
        """A folder inside, by its path.

        Raises: RefusedFileError.
        """
        path = inside(self.path, name)
        if path is None:
            raise RefusedFileError(403, "outside", "it is outside the folder of the studio")
        if not path.is_dir():
            raise RefusedFileError(404, "not-found", f"there is no folder {name!r}")
        return path

    def place(self, name: str) -> Path:
        """Where a graph or data file inside lies, whether it is there or not.

        Raises: RefusedFileError.
        """
        path = inside(self.path, name)
        if path is None or Path(name).is_absolute():
            raise RefusedFileError(403, "outside", "it is outside the folder of the studio")
        if path.suffix not in (".yaml", ".yml") or any(part.startswith(".") for part in Path(name).parts):
            raise RefusedFileError(403, "not-a-graph", "only .yaml and .yml files are graphs")
        return path

    def _content(self, path: Path) -> bytes | None:
        try:
            with opened(path) as stream:
                raw = stream.read(MOST_BYTES + 1)
        except FileNotFoundError:
            return None
        except (OSError, ValueError) as error:
            raise RefusedFileError(404, "unreadable", f"it cannot be read: {error}") from None
        if len(raw) > MOST_BYTES:
            raise RefusedFileError(413, "too-large", f"it is larger than {MOST_BYTES >> 20} MiB")
        return raw

    def _files(self, endings: tuple[str, ...]) -> Iterator[Path]:
        """The files below the folder, without those of runs, hidden ones and links that lead out."""
        for folder, folders, files in os.walk(self.path):
            depth = len(Path(folder).relative_to(self.path).parts)
            is_run = not _OF_RUNS.isdisjoint(files)
            folders[:] = [] if depth >= DEEPEST or is_run else sorted(
                name for name in folders if not name.startswith("."))
            if not is_run:
                yield from (path for name in sorted(files)
                            if name.endswith(endings) and not name.startswith(".")
                            and inside(self.path, str(path := Path(folder) / name)) is not None)


def _text(raw: bytes) -> str:
    try:
        return raw.removeprefix(_BOM).decode("utf-8").replace("\r\n", "\n")
    except UnicodeDecodeError:
        raise RefusedFileError(404, "unreadable", "it is not UTF-8 text") from None


def _base(raw: bytes) -> str:
    return hashlib.sha256(raw).hexdigest()
