"""Draws the pictures of the documentation from published graphs: `python tools/draw_docs.py`.

With `--check` it writes nothing and fails where a picture is not fresh.
"""

from __future__ import annotations

import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]
FOLDER = ROOT / "docs" / "pictures"
PICTURES = {"graph.svg": "ct-and-table"}
"""File names of pictures, and the published graphs that they show."""


def drawn(graph: str) -> str:
    """The SVG of a published graph, measured."""
    from fusionkit.drawing.svg import svg
    from fusionkit.network.build import plan

    return svg(plan(ROOT / "plugins" / "graphs" / f"{graph}.yaml"))


def main() -> int:
    """Write or check every picture; 1 where a check fails."""
    from fusionkit.files import write_text

    stale = []
    for name, graph in PICTURES.items():
        path, text = FOLDER / name, drawn(graph)
        if "--check" not in sys.argv[1:]:
            write_text(path, text)
        elif not path.is_file() or path.read_text(encoding="utf-8") != text:
            stale.append(name)
    sys.stdout.writelines(f"{name} is not fresh: run python tools/draw_docs.py\n" for name in stale)
    return 1 if stale else 0


if __name__ == "__main__":
    raise SystemExit(main())
