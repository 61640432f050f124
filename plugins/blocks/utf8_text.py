"""Files of UTF-8 text, for readers. Contains no component."""

from __future__ import annotations

from pathlib import Path

from fusionkit.reading import ReadError


def utf8_text(path: Path, name: str, most: int | None = None) -> str:
    """The text of a file of at most so many bytes, without a byte order mark; `name` is what messages call it.

    Raises: ReadError with `unreadable-file`, `not-utf8` or `too-large`.
    """
    try:
        if most is not None and path.stat().st_size > most:
            raise ReadError("too-large", f"{name!r} has more than {most:,} bytes",
                            fix="give a file with the text of one case")
        return path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as problem:
        raise ReadError("not-utf8", f"{name!r} is not UTF-8 text", f"byte {problem.start} cannot be read",
                        "save it as UTF-8") from None
    except OSError as problem:
        raise ReadError("unreadable-file", f"{name!r} cannot be opened: {problem.strerror or problem}",
                        fix="check the file and its permissions") from None
