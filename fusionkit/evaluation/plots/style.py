"""The one style of all figures: fonts, colours, dashes, panels, and how a figure becomes files.

Figures are made without pyplot and its global state.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from fusionkit.files import replacing
from fusionkit.printable import printable

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure, SubFigure

# Okabe and Ito 2008, Color Universal Design; its yellow is left out, being too faint on white.
PALETTE = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
GREY, PALE = "#555555", "#BBBBBB"
_LINE_STYLES = ("-", "--", "-.", ":")
_TITLE_WIDTH = 60
_MOST_PANELS = 16

# Any, because matplotlib's own type lists only the settings of its own version.
_STYLE: Any = {
    "font.family": "sans-serif",
    "font.sans-serif": ["DejaVu Sans"],
    "font.size": 10,
    "axes.titlesize": 11,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.edgecolor": GREY,
    "legend.frameon": False,
    "legend.fontsize": 9,
    # A dollar sign in a class name does not start a formula.
    "text.parse_math": False,
    # Files are reproducible.
    "svg.hashsalt": "fusionkit",
}


@contextmanager
def applied() -> Iterator[None]:
    """Our settings while a figure is made and saved; the caller's settings are restored afterwards."""
    import matplotlib

    with matplotlib.rc_context(_STYLE), warnings.catch_warnings():
        # A script that the font lacks shows as boxes; names in the tables are still right.
        warnings.filterwarnings("ignore", message="Glyph .* missing from font", category=UserWarning)
        yield


def save(figure: Figure, stem: Path, kinds: Sequence[str] = (".png", ".svg")) -> list[Path]:
    """The figure as `stem`.png and `stem`.svg, each written to a temporary file and then renamed."""
    _without_control_characters(figure)
    # Each save would compute layout and margins again, which takes longer than drawing.
    figure.draw_without_rendering()
    figure.set_layout_engine(None)
    margins = figure.get_tightbbox().padded(0.12)
    written = []
    unstamped = {".png": {"Software": None}, ".svg": {"Date": None, "Creator": None}}
    for suffix in kinds:
        target = stem.with_name(stem.name + suffix)
        with replacing(target) as aside:
            figure.savefig(aside, format=suffix[1:], dpi=160, metadata=unstamped[suffix], bbox_inches=margins)
        written.append(target)
    return written


def _without_control_characters(figure: Figure) -> None:
    """Names come from tables and graphs, and a single control character makes an SVG invalid."""
    from matplotlib.text import Text

    for part in figure.findobj(Text):
        text = part.get_text()
        shown = printable(text)
        if shown != text:
            part.set_text(shown)


def panelled(count: int, width: float, height: float, title: str) -> tuple[Figure, list[Figure | SubFigure]]:
    """A figure with a subfigure for each panel, at most four in a row; the title says if some are left out."""
    if count > _MOST_PANELS:
        count, title = _MOST_PANELS, f"{title} (the first {_MOST_PANELS} of {count})"
    across = min(count, 4)
    down = -(-count // across)
    scale = 1.0 if count == 1 else 0.8
    figure = blank(scale * width * across, scale * height * down)
    figure.suptitle(titled(title, int(12 * scale * width * across)), x=0.02, ha="left", fontsize=11)
    if count == 1:
        return figure, [figure]
    return figure, list(figure.subfigures(down, across, squeeze=False).flat)[:count]


def blank(width: float, height: float) -> Figure:
    """An empty figure of this size in inches."""
    from matplotlib.figure import Figure

    return Figure(figsize=(width, height), layout="constrained")


def diagonal(axes: Axes) -> None:
    """The line from (0, 0) to (1, 1), behind everything."""
    axes.plot([0, 1], [0, 1], color=PALE, linewidth=1, linestyle=(0, (4, 4)), zorder=1)


def unit_square(axes: Axes) -> None:
    """Both axes from 0 to 1."""
    ticks = np.linspace(0, 1, 6)
    axes.set(xlim=(0, 1), ylim=(0, 1), xticks=ticks, yticks=ticks)


def look(index: int) -> dict[str, Any]:
    """Colour and dash together distinguish all curves of a legend; neighbours differ in both."""
    return {
        "color": PALETTE[index % len(PALETTE)],
        "linestyle": _LINE_STYLES[(index + 2 * (index // len(PALETTE))) % len(_LINE_STYLES)],
        "linewidth": 1.9,
    }


def many_look() -> dict[str, Any]:
    """For more curves than a legend can name."""
    return {"color": PALETTE[0], "linewidth": 0.8, "alpha": 0.45}


def titled(text: str, width: int = _TITLE_WIDTH) -> str:
    """A title wrapped to the width."""
    return "\n".join(fitting(line, width) for line in text.splitlines())


def fitting(text: str, width: int) -> str:
    """The text, truncated if it is longer than `width`."""
    return text if len(text) <= width else text[: width - 4].rstrip() + " ..."
