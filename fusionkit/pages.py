"""Pages of HTML that stand alone: one shell and one style, for reading on a screen and for printing.

Everything is escaped; pictures are embedded, and a page asks nothing of a network.
"""

from __future__ import annotations

import re
from base64 import b64encode
from collections.abc import Collection, Iterable, Sequence
from html import escape
from pathlib import Path

_STYLE = """
body { font: 15px/1.5 system-ui, "DejaVu Sans", sans-serif; color: #1a1a1a; max-width: 72rem; margin: 2rem auto;
  padding: 0 1.2rem; overflow-wrap: anywhere; }
h1 { font-size: 1.6rem; margin-bottom: .2rem; } h2 { font-size: 1.2rem; margin-top: 2.2rem; }
h3 { font-size: 1rem; margin-top: 1.4rem; }
.wide { overflow-x: auto; }
table { border-collapse: collapse; width: 100%; font-size: 13.5px; margin: .8rem 0; overflow-wrap: normal; }
th, td { text-align: left; padding: .3rem .6rem; border-bottom: 1px solid #ddd; vertical-align: top; }
td { white-space: pre-line; }
th { border-bottom: 2px solid #555; font-weight: 600; } td.number, th.number { text-align: right; white-space: nowrap; }
tr.reference td { background: #f1f1f1; font-weight: 600; } td.name { overflow-wrap: anywhere; min-width: 9rem; }
.kind { color: #555; font-weight: 400; font-size: .88em; display: block; }
.quiet { color: #555; } .open { background: #fff4d6; } table.small { width: auto; }
figure { margin: 1rem 0; } figcaption { color: #555; font-size: .88em; } img { max-width: 100%; height: auto; }
.row { display: flex; flex-wrap: wrap; gap: 1rem; align-items: flex-start; }
.row figure { flex: 1 1 20rem; max-width: 30rem; margin: 0; }
.row figure.broad { flex-basis: 100%; max-width: none; }
pre { background: #f6f6f6; padding: .6rem .8rem; font-size: 12.5px; white-space: pre-wrap; overflow-wrap: anywhere; }
li { margin: .25rem 0; }
@media print { body { max-width: none; margin: 0; font-size: 11px; } table { font-size: 10px; } pre { font-size: 9px; }
  h1 { font-size: 17px; } h2 { font-size: 14px; margin-top: 1.2rem; } figure, tr { break-inside: avoid; }
  h2, h3 { break-after: avoid; } th, td { padding: 2px 5px; } img { max-height: 150mm; }
  .wide { overflow-x: visible; } td.number, th.number { white-space: normal; } }
"""
_SIZE = re.compile(rb'<svg[^>]* width="([0-9.]+)[a-z]*" height="([0-9.]+)')
_BROAD = 1.8
"""A picture that is so much wider than high has a row of its own: it has several panels."""
_TYPES = {".svg": "svg+xml", ".png": "png"}


def page(title: str, parts: Iterable[str], *, landscape: bool = False) -> str:
    """A whole page of parts that are HTML; printed on A4."""
    paper = f"@page {{ size: A4{' landscape' if landscape else ''}; margin: 12mm; }}"
    # The policy lets a browser load nothing, whatever the page might hold.
    policy = "default-src 'none'; img-src data:; style-src 'unsafe-inline'"
    return (f'<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
            f'<meta http-equiv="Content-Security-Policy" content="{policy}">\n'
            f'<meta name="viewport" content="width=device-width, initial-scale=1">\n'
            f"<title>{escape(title)}</title>\n<style>{_STYLE}{paper}\n</style>\n</head>\n<body>\n"
            + "\n".join(parts) + "\n</body>\n</html>\n")


def table_of_rows(names: Sequence[str], rows: Iterable[str], numbers: Iterable[int] = (), look: str = "wide") -> str:
    """A table of rows that are HTML; columns at the places `numbers` are aligned to the right."""
    right = set(numbers)
    top = "".join(f'<th class="number">{escape(name)}</th>' if place in right else f"<th>{escape(name)}</th>"
                  for place, name in enumerate(names))
    body = "\n".join(rows)
    return (f'<div class="wide"><table class="{look}">\n<thead><tr>{top}</tr></thead>\n<tbody>\n{body}\n</tbody>\n'
            "</table></div>")


def cells(texts: Sequence[str], numbers: Collection[int] = ()) -> str:
    """The cells of a row, escaped."""
    return "".join(f'<td class="number">{escape(text)}</td>' if place in numbers else f"<td>{escape(text)}</td>"
                   for place, text in enumerate(texts))


def table(names: Sequence[str], rows: Iterable[Sequence[str]], numbers: Collection[int] = (),
          look: str = "wide") -> str:
    """A table of texts, which are escaped."""
    return table_of_rows(names, [f"<tr>{cells(row, numbers)}</tr>" for row in rows], numbers, look)


def bullets(texts: Iterable[str]) -> str:
    """A list of texts, which are escaped."""
    return "<ul>\n" + "\n".join(f"<li>{escape(text)}</li>" for text in texts) + "\n</ul>"


def picture(path: Path, label: str, caption: str = "") -> str:
    """An SVG or PNG file embedded in the page. As an image, an SVG can neither run scripts nor load anything.

    Raises: OSError.
    """
    return embedded(path.read_bytes(), label, path.suffix, caption)


def embedded(content: bytes, label: str, suffix: str = ".svg", caption: str = "") -> str:
    """A picture embedded in the page: its content, and what it shows, for those who cannot see it."""
    data = b64encode(content).decode()
    told = f"<figcaption>{escape(caption)}</figcaption>" if caption else ""
    size = _SIZE.search(content[:2000]) if suffix == ".svg" else None
    look = ' class="broad"' if size and float(size[1]) > _BROAD * float(size[2]) else ""
    return f'<figure{look}><img alt="{escape(label)}" src="data:image/{_TYPES[suffix]};base64,{data}">{told}</figure>'
