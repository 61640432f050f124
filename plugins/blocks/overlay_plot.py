"""Grad-CAM as a picture: the map overlaid on its image, or on the slices of its volume."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from textwrap import fill
from typing import TYPE_CHECKING, Any

import numpy as np

from fusionkit.api import Floats
from fusionkit.explaining import PALETTE

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

MOST_SLICES = 12
_ACROSS = 4
# Inches of a slice's longer side: large enough to see a small lesion and single pixels of a large slice.
_SMALLEST_SLICE, _LARGEST_SLICE, _PIXELS_PER_INCH = 2.2, 3.4, 110
# Where the map is weakest it is transparent, so the colours may start with black; the bright end is not grey.
_COLOURS = "inferno"
_STRONGEST = 0.7
_HALF = 0.5


@dataclass(frozen=True)
class Overlay:
    """One map over one input of one case.

    *Shapes*: `image` is (c, H, W) or (c, D, H, W), `heat` (H, W) or (D, H, W), non-negative. `title` has the lines of
    the title.
    """

    image: Floats
    heat: Floats
    title: tuple[str, ...]

    @property
    def peak(self) -> float:
        """The largest value of the map."""
        return float(self.heat.max())


def overlay_figure(overlay: Overlay, slices: Sequence[int] | None = None) -> Figure:
    """The image without and with the map, or a montage of slices (counted from 0) with it."""
    return _flat(overlay) if overlay.heat.ndim == 2 else _montage(overlay, slices or slices_shown(overlay.heat))


def slices_shown(heat: Floats) -> list[int]:
    """The slices of a volume that a montage shows, counted from 0: evenly spaced, and the one with the largest value.
    """
    depth = len(heat)
    if depth <= MOST_SLICES:
        return list(range(depth))
    even = np.linspace(0, depth - 1, MOST_SLICES).round().astype(int)
    hottest = int(heat.reshape(depth, -1).max(axis=1).argmax())
    even[np.abs(even - hottest).argmin()] = hottest
    return sorted(set(even.tolist()))


def _flat(overlay: Overlay) -> Figure:
    height, width = overlay.heat.shape
    shown, caption = _grey(overlay.image)
    wide = float(np.clip(3.4 * width / height, 1.6, 6.8))
    figure = _figure(2 * wide + 0.3, 3.4 + 1.5 + 0.2 * len(overlay.title))
    figure.suptitle(_heading(overlay.title, 2 * wide + 0.3), x=0.02, ha="left", fontsize=10)
    plain, heated = figure.subplots(1, 2)
    plain.imshow(shown, cmap="gray", vmin=0, vmax=1)
    plain.set_title(f"input{caption}", loc="left", fontsize=9)
    _heat(heated, shown, overlay.heat, overlay.peak)
    heated.set_title("with Grad-CAM", loc="left", fontsize=9)
    if overlay.peak > 0:
        _mark(heated, overlay.heat)
    for axes in (plain, heated):
        _bare(axes)
    _keys(figure, [plain, heated], overlay.peak)
    return figure


def _montage(overlay: Overlay, chosen: Sequence[int]) -> Figure:
    depth, height, width = overlay.heat.shape
    across = min(_ACROSS, len(chosen))
    down = -(-len(chosen) // across)
    longer = float(np.clip(max(height, width) / _PIXELS_PER_INCH, _SMALLEST_SLICE, _LARGEST_SLICE))
    high, broad = (longer * max(side / max(height, width), 0.5) for side in (height, width))
    wide = max(across * (broad + 0.08), 6.4)
    figure = _figure(wide, down * (2 * high + 0.4) + 1.5 + 0.2 * len(overlay.title))
    figure.suptitle(_heading(overlay.title, wide), x=0.02, ha="left", fontsize=10)
    grid: Any = figure.subplots(2 * down, across, squeeze=False)
    shown, caption = _grey(overlay.image)
    hottest = int(overlay.heat.reshape(depth, -1).max(axis=1).argmax())
    for axes in grid.flat:
        axes.set_axis_off()
    for place, number in enumerate(chosen):
        plain, heated = (grid[2 * (place // across) + row, place % across] for row in (0, 1))
        plain.imshow(shown[number], cmap="gray", vmin=0, vmax=1)
        plain.set_title(f"slice {number + 1}", loc="left", fontsize=8.5, pad=2.5)
        _heat(heated, shown[number], overlay.heat[number], overlay.peak)
        if overlay.peak > 0 and number == hottest:
            _mark(heated, overlay.heat[number])
        for axes in (plain, heated):
            axes.set_axis_on()
            _bare(axes)
    among = f"slices 1 to {depth}" if len(chosen) == depth else f"{len(chosen)} of {depth} slices"
    _keys(figure, list(grid.flat), overlay.peak,
          f"{among}, counted along the depth{caption}; below each slice the same with Grad-CAM")
    return figure


def _heat(axes: Axes, shown: Floats, heat: Floats, peak: float) -> None:
    """The image in grey with the map on top, more opaque where it is stronger."""
    axes.imshow(shown, cmap="gray", vmin=0, vmax=1)
    if peak > 0:
        share = heat / peak
        # Half opaque from a tenth on, or weak positions would have colours that are not in the colour bar.
        axes.imshow(share, cmap=_COLOURS, vmin=0, vmax=1, alpha=_STRONGEST * np.clip(2.5 * share, 0, 1),
                    interpolation="bilinear")
        if share.max() >= _HALF > share.min():
            axes.contour(share, levels=[_HALF], colors="white", linewidths=0.9)


def _mark(axes: Axes, heat: Floats) -> None:
    row, column = np.unravel_index(int(heat.argmax()), heat.shape)
    axes.plot([int(column)], [int(row)], marker="+", color=PALETTE[5], markersize=9, markeredgewidth=1.8)


def _keys(figure: Figure, panels: list[Axes], peak: float, caption: str = "") -> None:
    """The colour bar and the legend."""
    from matplotlib.cm import ScalarMappable
    from matplotlib.lines import Line2D

    if peak > 0:
        bar = figure.colorbar(ScalarMappable(cmap=_COLOURS), ax=panels, location="bottom", shrink=0.6, aspect=36,
                              pad=0.02)
        bar.set_label(f"Grad-CAM as a fraction of its largest value, {peak:.3g} in units of the head's score",
                      fontsize=9)
        bar.ax.tick_params(labelsize=8)
        keys = [Line2D([], [], color="white", linewidth=1.4, label="half of the largest value"),
                Line2D([], [], linestyle="", marker="+", color=PALETTE[5], markersize=9, markeredgewidth=1.8,
                       label="largest value")]
        figure.legend(handles=keys, loc="outside lower left", ncols=2, fontsize=8.5, facecolor="#666666", frameon=True,
                      labelcolor="white", edgecolor="#666666", title=caption or None, title_fontsize=8.5,
                      alignment="left").get_title().set_color("white")
    elif caption:
        figure.supxlabel(caption, fontsize=8.5, x=0.02, ha="left")


def _grey(image: Floats) -> tuple[Floats, str]:
    """The image scaled to 0 to 1 from its darkest to its brightest value, and a caption about its channels.

    *Shapes*: (c, ...) gives (..., 3) for an image with three channels, else (...), the first channel.
    """
    colour = len(image) == 3 and image.ndim == 3
    shown = np.moveaxis(image, 0, -1) if colour else image[0]
    low, high = np.percentile(shown, [0.5, 99.5])
    scaled: Floats = np.clip((shown - low) / (high - low or 1.0), 0, 1)
    return scaled, "" if colour or len(image) == 1 else f", channel 1 of {len(image)}"


def _heading(lines: tuple[str, ...], wide: float) -> str:
    return "\n".join(fill(line, max(30, int(wide * 12.5)), break_on_hyphens=False) for line in lines)


def _bare(axes: Axes) -> None:
    axes.set(xticks=[], yticks=[])
    axes.spines[:].set_visible(False)


def _figure(width: float, height: float) -> Figure:
    from matplotlib.figure import Figure

    return Figure(figsize=(width, height), layout="constrained")
