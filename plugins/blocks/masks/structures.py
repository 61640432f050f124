"""DICOM RTSTRUCT: contours of regions, drawn on the slices of their image.

Source: DICOM PS3.3 C.8.8.6 (ROI contour). Contours of one region on one slice are combined by exclusive or, which makes
holes of inner ones.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from fusionkit_plugins.blocks.dicom.headers import quiet
from fusionkit_plugins.blocks.masks.contours import PARTS, fill
from fusionkit_plugins.blocks.masks.labels import Wanted, chosen
from fusionkit_plugins.blocks.masks.share import Share
from numpy.typing import NDArray

from fusionkit.reading import Facts, Grid, ReadError

_CLOSED = ("CLOSED_PLANAR", "CLOSEDPLANAR_XOR")
_BETWEEN = 0.1  # of a step, from the slice that a contour is put on
_OBLIQUE = 0.5  # of a step, within one contour
_ON_THE_EDGE = 1e-6
_LPS = np.array([-1.0, -1.0, 1.0])


def read_structures(path: Path, dataset: Any, wanted: Wanted, image: Facts | None) -> Share:
    """The mask of some regions on the grid of the image.

    `dataset` is what pydicom read. Raises: `ReadError` with `no-geometry`, `unknown-label`, `several-labels`,
    `frames-of-reference`, `contours-oblique`, `broken-contours`.
    """
    if image is None or image.grid is None:
        raise ReadError("no-geometry", "it is an RTSTRUCT, whose contours are drawn on the slices of an image",
                        "no image is given, or the image does not tell where its voxels are",
                        "write 'like: INPUT' with the input of the image that it was drawn on")
    with quiet:
        try:
            regions = {int(item.ROINumber): item for item in getattr(dataset, "StructureSetROISequence", None) or []}
            names = {number: str(item.ROIName or "") for number, item in regions.items()}
            contours = {int(item.ReferencedROINumber): list(getattr(item, "ContourSequence", None) or [])
                        for item in getattr(dataset, "ROIContourSequence", None) or []}
        except Exception as problem:  # pydicom converts values on first access
            raise _broken(path, problem) from None
        numbers = chosen(wanted, names)
        frames = {str(getattr(regions[number], "ReferencedFrameOfReferenceUID", "") or "") for number in numbers}
        if image.frame_of_reference and frames - {"", image.frame_of_reference}:
            raise ReadError(
                "frames-of-reference", "it was drawn in another frame of reference than that of the image",
                f"its FrameOfReferenceUID is {max(frames)}, that of the image {image.frame_of_reference}",
                "take the RTSTRUCT of this series, or register and convert it first")
        drawing = _Drawing(image.grid)
        try:
            for number in numbers:
                drawing.draw(contours.get(number, ()))
        except ReadError:
            raise
        except Exception as problem:  # as above
            raise _broken(path, problem) from None
    return Share(drawing.mask.astype(np.float32), image.grid, max(frames, default=""), drawing.remarks)


class _Drawing:
    """The union of regions on a grid, and what was odd about them."""

    def __init__(self, grid: Grid) -> None:
        self.grid, self.inverse = grid, np.linalg.inv(grid.affine)
        self.mask = np.zeros(grid.shape, dtype=np.bool_)
        self.odd: Counter[str] = Counter()

    @property
    def remarks(self) -> tuple[tuple[str, str], ...]:
        """What was odd, with how often."""
        return tuple((code, str(count)) for code, count in self.odd.items())

    def draw(self, contours: Sequence[Any]) -> None:
        """Add one region."""
        region = np.zeros_like(self.mask)
        drawn: set[int] = set()
        for contour in contours:
            if str(contour.ContourGeometricType) not in _CLOSED:
                self.odd["open-contours"] += 1
                continue
            points = self._places(contour.ContourData)
            along = points[:, 0]
            if along.max() - along.min() > _OBLIQUE:
                raise ReadError(
                    "contours-oblique", "its contours do not lie in the slices of the image",
                    f"one reaches over {along.max() - along.min():.2g} slices",
                    "use the series that it was drawn on, or convert it to a mask with the tool that made it")
            level = float(along.mean())
            number = math.floor(level + 0.5 - _ON_THE_EDGE)
            if not 0 <= number < self.grid.shape[0]:
                self.odd["contours-outside"] += 1
                continue
            self.odd["contour-between-slices"] += abs(level - number) > _BETWEEN
            region[number] ^= fill(points[:, 1:], (self.grid.shape[1], self.grid.shape[2]))
            drawn.add(number)
        gaps = max(drawn) - min(drawn) + 1 - len(drawn) if drawn else 0
        self.odd["contour-gaps"] += gaps
        self.odd = +self.odd  # those that are met
        self.mask |= region

    def _places(self, data: Any) -> NDArray[np.float64]:
        """Points of a contour in voxels, rounded: (n, 3), along d, h, w."""
        points = np.array([float(number) for number in data], dtype=np.float64).reshape(-1, 3) * _LPS
        places: NDArray[np.float64] = points @ self.inverse[:3, :3].T + self.inverse[:3, 3]
        return np.rint(places * PARTS) / PARTS


def _broken(path: Path, problem: Exception) -> ReadError:
    said = " ".join(str(problem).split()) or type(problem).__name__
    return ReadError("broken-contours", f"the contours of {path.name!r} cannot be read", said,
                     "copy the file from its source again")
