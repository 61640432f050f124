"""The contact sheet of `inspect`: slices of some cases in three planes, with masks, and augmented versions beside; of
bags some items of each case.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray

from fusionkit.data.batch import Batch, collate
from fusionkit.data.cohort import Cohort
from fusionkit.data.dataset import CaseDataset
from fusionkit.data.geometry.grid import Grid
from fusionkit.data.item_choice import spread
from fusionkit.evaluation.plots.style import fitting
from fusionkit.interface.planes import CUTS, PLANES, SIDES, upright
from fusionkit.training.at_bounds import at_bounds
from fusionkit.training.batch_changes import augmented_for

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_INCHES, _LINE_MM, _WIDE = 1.9, 50.0, 6
_RED = "#e0301e"


@dataclass(frozen=True)
class Plane:
    """One slice to draw: (h, w) or (h, w, 3) with its rows downwards, the height and width of a pixel, and outlines of
    masks by their values.
    """

    values: NDArray[np.float32]
    steps: tuple[float, float]
    outlines: NDArray[np.float32] | None = None


def sheet(cohort: Cohort, dataset: CaseDataset, name: str, rows: Sequence[int], *, versions: int, seed: int
          ) -> Figure:
    """Some cases of an input: slices through the middle in three planes, then versions as training would change them.

    Volumes whose files tell where they are are shown as radiologists see them, the patient's right on the left; of the
    others the planes are named by the axis that they cut. Of a bag some items are shown, with a line for each version.
    """
    from matplotlib.figure import Figure

    if name in bags(cohort):
        return _item_sheet(cohort, dataset, name, rows, versions=versions, seed=seed)
    changed = augmented_for(dataset, seed) if dataset.augmentation is not None and versions else None
    moves = changed is not None and dataset.augmentation is not None and any(
        name in group for group in (*dataset.augmentation.groups(), *dataset.augmentation.together))
    count = len(cohort.sizes[name]) == 4 and cohort.sizes[name][1] > 1
    planes = PLANES if count else PLANES[:1]
    columns = len(planes) + (versions if moves else 0)
    figure = Figure(figsize=(_INCHES * columns + 0.6, _INCHES * len(rows) + 0.7), layout="constrained")
    axes = figure.subplots(len(rows), columns, squeeze=False)
    limits = _limits(dataset, name, rows)
    mask = _mask_of(cohort, dataset, name)
    for line, row in zip(axes, rows, strict=True):
        batch, grid = collate([dataset[row]]), dataset.grids.get(name, [None] * len(cohort))[row]
        shown = _shown(batch, name, grid, mask)
        for place, plane in enumerate(planes):
            _draw(line[place], shown[place], limits)
            title = "as it is" if not count else plane if grid is not None else CUTS[place]
            line[place].set_title(title, fontsize=8)
        for version in range(columns - len(planes)):
            assert changed is not None
            _draw(line[len(planes) + version], _shown(changed(batch, version), name, grid, mask)[0], limits)
            line[len(planes) + version].set_title(f"epoch {version + 1}", fontsize=8)
        line[0].set_ylabel(fitting(cohort.ids[row], 18), fontsize=8)
    figure.suptitle(fitting(f"{name}: {'slices through the middle' if count else 'cases'}", 60), fontsize=10)
    return figure


def _item_sheet(cohort: Cohort, dataset: CaseDataset, name: str, rows: Sequence[int], *, versions: int, seed: int
                ) -> Figure:
    """Some items of each case, evenly spread, and below them the same ones as the first epochs would change them."""
    from matplotlib.figure import Figure

    changed = augmented_for(dataset, seed) if name in dataset.item_grids else None
    lines = []
    for row in rows:
        batch = collate([dataset[row]])
        lines.append((fitting(cohort.ids[row], 18), row, batch))
        if changed is not None:
            lines += [(f"epoch {epoch + 1}", row, changed(batch, epoch)) for epoch in range(versions)]
    items = {row: spread(int(batch.valid[name].sum()), _WIDE) for _, row, batch in lines}
    columns = max(map(len, items.values()))
    figure = Figure(figsize=(_INCHES * columns + 0.6, _INCHES * len(lines) + 0.7), layout="constrained")
    axes = figure.subplots(len(lines), columns, squeeze=False)
    limits = _limits(dataset, name, rows)
    for line, (title, row, batch) in zip(axes, lines, strict=True):
        for place, item in zip(line, items[row], strict=False):
            _draw(place, _item_shown(cohort, batch, name, row, item), limits)
            place.set_title(f"item {item + 1}", fontsize=8)
        for place in line[len(items[row]):]:
            place.axis("off")
        line[0].set_ylabel(title, fontsize=8)
    return figure


def _item_shown(cohort: Cohort, batch: Batch, name: str, row: int, item: int) -> Plane:
    """One item of a bag: the axial plane of a volume, and of slices with their neighbours the one in the middle."""
    bag, grids = cohort.description.inputs[name].bag, cohort.facts[name, row].item_grids
    values = batch.inputs[name][0, item].numpy()
    if bag is not None and bag.neighbours > 1:
        values = values[bag.neighbours // 2, None]
    return _planes(values, None, grids[item] if values.ndim == 4 and grids else None)[0]


def augmented_sheet(cohort: Cohort, dataset: CaseDataset, name: str, row: int, *, count: int, seed: int) -> Figure:
    """One case of an input as it is, changed by each transform at its bounds, and as the first epochs would change it:
    `count` pictures.

    Transforms that change nothing at a bound are left out. Of a bag it is the item in the middle.
    """
    from matplotlib.figure import Figure

    changed, batch = augmented_for(dataset, seed), collate([dataset[row]])
    versions = [("as it is", batch)]
    for title, change in at_bounds(changed, name):
        made = change(batch)
        if not torch.equal(made.inputs[name], batch.inputs[name]):
            versions.append((title, made))
    versions = versions[:count]
    versions += [(f"epoch {epoch + 1}", changed(batch, epoch)) for epoch in range(count - len(versions))]
    columns = min(_WIDE, len(versions))
    lines = -(-len(versions) // columns)
    figure = Figure(figsize=(_INCHES * columns + 0.3, _INCHES * 1.1 * lines + 0.7), layout="constrained")
    axes = figure.subplots(lines, columns, squeeze=False).ravel()
    limits, mask = _limits(dataset, name, [row]), _mask_of(cohort, dataset, name)
    grid = dataset.grids.get(name, [None] * len(cohort))[row]
    middle = int(batch.valid[name].sum()) // 2 if name in batch.valid else None
    for place, (title, made) in zip(axes, versions, strict=False):
        _draw(place, _shown(made, name, grid, mask)[0] if middle is None else _item_shown(
            cohort, made, name, row, middle), limits)
        place.set_title(title, fontsize=8)
    for place in axes[len(versions):]:
        place.axis("off")
    figure.suptitle(fitting(f"{name} of {cohort.ids[row]}: each transform at its bounds, then epochs", 90), fontsize=10)
    return figure


def _mask_of(cohort: Cohort, dataset: CaseDataset, name: str) -> str | None:
    """The label map whose outline is drawn: the first of the same size, one that moves with the input if there is."""
    if name in dataset.labelled or name in cohort.masked:
        return None
    fitting_masks = [mask for mask in sorted(dataset.labelled) if mask in cohort.sizes
                     and mask not in cohort.masked and cohort.sizes[mask][1:] == cohort.sizes[name][1:]]
    group = dataset.augmentation.group(name) if dataset.augmentation is not None else ()
    return next((mask for mask in fitting_masks if mask in group), fitting_masks[0] if fitting_masks else None)


def _limits(dataset: CaseDataset, name: str, rows: Sequence[int]) -> tuple[float, float]:
    """The values that are black and white in all pictures of an input."""
    ends = [np.percentile(dataset[row]["inputs"][name].numpy(), (1, 99.5)) for row in rows]
    low, high = min(float(end[0]) for end in ends), max(float(end[1]) for end in ends)
    return (low, high) if high > low else (low - 0.5, low + 0.5)


def _shown(batch: Batch, name: str, grid: Grid | None, mask: str | None) -> list[Plane]:
    """The planes of a case, the axial one first; a picture has one."""
    values = batch.inputs[name][0].numpy()
    labels = batch.inputs[mask][0].numpy() if mask is not None and bool(batch.present[mask][0]) else None
    return _planes(values, labels, grid)


def _planes(values: NDArray[np.float32], labels: NDArray[np.float32] | None, grid: Grid | None) -> list[Plane]:
    """The planes of one array, with the outlines of its labels."""
    if values.ndim == 3 or values.shape[1] == 1:
        flat = values if values.ndim == 3 else values[:, 0]
        colours = flat.transpose(1, 2, 0) if len(flat) == 3 else flat[0]
        outline = None if labels is None else (labels if labels.ndim == 3 else labels[:, 0])[0]
        return [Plane(colours, (1.0, 1.0), outline)]
    volume, steps = upright(values[0], grid)
    other = None if labels is None else upright(labels[0], grid)[0]
    middle = _middle(other) if other is not None and other.any() else [size // 2 for size in volume.shape]
    cuts: list[Callable[[NDArray[Any]], NDArray[Any]]] = [
        lambda of: of[middle[0]], lambda of: of[:, middle[1]], lambda of: of[:, :, middle[2]]]
    return [Plane(cut(volume), (steps[side[0]], steps[side[1]]), None if other is None else cut(other))
            for cut, side in zip(cuts, SIDES, strict=True)]


def _middle(labels: NDArray[np.float32]) -> list[int]:
    """The middle of what a mask marks, so that the slices cut it."""
    return [int(np.median(places)) for places in np.nonzero(labels != labels.min())]


def _draw(axes: Axes, plane: Plane, limits: tuple[float, float]) -> None:
    height, width = plane.values.shape[:2]
    extent = (0.0, width * plane.steps[1], height * plane.steps[0], 0.0)
    if plane.values.ndim == 3:
        low, high = (0.0, 1.0) if limits[0] >= 0 and limits[1] <= 1 else limits
        axes.imshow(np.clip((plane.values - low) / (high - low), 0, 1), extent=extent)
    else:
        axes.imshow(plane.values, cmap="gray", vmin=limits[0], vmax=limits[1], extent=extent)
    if plane.outlines is not None:
        for level in np.unique(plane.outlines)[1:9]:
            across = (np.arange(width) + 0.5) * plane.steps[1]
            down = (np.arange(height) + 0.5) * plane.steps[0]
            axes.contour(across, down, plane.outlines == level, levels=[0.5], colors=[_RED], linewidths=0.8)
    axes.set_xticks(np.arange(0, extent[1] + 1e-6, _spaced(extent[1])))
    axes.set_yticks(np.arange(0, extent[2] + 1e-6, _spaced(extent[2])))
    axes.tick_params(labelsize=5, length=2, pad=1)
    axes.grid(color="white", alpha=0.18, linewidth=0.5)


def _spaced(length: float) -> float:
    """The distance of grid lines: 50 mm, or less where that would be fewer than two."""
    step = _LINE_MM
    while step * 2 > length:
        step /= 5
    while length / step > 8:
        step *= 2
    return step


def present_rows(cohort: Cohort, dataset: CaseDataset, name: str, count: int, first: Sequence[str] = ()) -> list[int]:
    """Rows of cases to show: those that lie apart first, then cases spread evenly over the cohort."""
    there = [row for row, is_there in enumerate(dataset.present(name)) if is_there]
    apart = [row for row in there if cohort.ids[row] in set(first)][: max(1, count // 2)]
    others = [row for row in there if row not in apart]
    more = min(count - len(apart), len(others))
    spread = [others[int(place)] for place in np.linspace(0, len(others) - 1, more)] if more > 0 else []
    return [*dict.fromkeys((*apart, *spread))]


def drawable(cohort: Cohort) -> Mapping[str, int]:
    """The inputs that are one image or one volume of a case, and the axes of these."""
    return {name: len(size) - 1 for name, size in cohort.sizes.items()
            if name in cohort.paths and name not in cohort.masked and len(size) in (3, 4)}


def bags(cohort: Cohort) -> list[str]:
    """The inputs that are several images or volumes of a case."""
    return [name for name, size in cohort.sizes.items()
            if name in cohort.paths and cohort.description.inputs[name].bag is not None and len(size) in (4, 5)]
