"""JSON files that come with pretrained weights: read as bounded data, refused with line and column."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from fusionkit.errors import Diagnostic, GraphError, Span
from fusionkit.files import opened

_MAX_BYTES = 1 << 20


def read_json_of(path: Path, span: Span | None) -> Any:
    """The value in a JSON file of at most 1 MiB.

    Raises: GraphError with `unreadable-weights`, with line and column in that file for wrong JSON.
    """
    try:
        with opened(path) as stream:
            raw = stream.read(_MAX_BYTES + 1)
        if len(raw) > _MAX_BYTES:
            raise ValueError(f"it is larger than {_MAX_BYTES >> 10} KiB")
        text = raw.decode("utf-8")
        return json.loads(text, parse_constant=_no_number)
    except json.JSONDecodeError as error:
        line = text.split("\n")[error.lineno - 1]
        raise unreadable(path, error.msg, Span(str(path), error.lineno, error.colno, line)) from None
    except RecursionError:
        raise unreadable(path, "its values are nested too deeply", span) from None
    except (OSError, ValueError) as error:
        raise unreadable(path, getattr(error, "strerror", None) or str(error), span) from None


def _no_number(name: str) -> None:
    raise ValueError(f"it has {name} in place of a number, which JSON does not know")


def object_in(path: Path, span: Span | None) -> dict[str, Any]:
    """The object in a JSON file. Raises: as `read_json_of`."""
    read = read_json_of(path, span)
    if not isinstance(read, dict):
        raise unreadable(path, "it is not a JSON object", Span(str(path), 1, 1))
    return read


def unreadable(path: Path, why: str, span: Span | None) -> GraphError:
    """The error of a file that is damaged or of another kind."""
    return GraphError(Diagnostic("unreadable-weights", f"cannot read {str(path)!r}", span, why,
                                 "download the file again; it is damaged or of another kind"))
