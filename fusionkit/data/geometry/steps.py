"""What the options of geometry do to the array of a file, in their order: turn, resample, cut.

A reader has decoded the array, and scaled its values. Axes: c channels, then d h w, or h w of pictures.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from math import prod
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from fusionkit.arrays import Bools
from fusionkit.data.geometry import fitting
from fusionkit.data.geometry.grid import Grid
from fusionkit.data.geometry.options import MAX_VALUES, GeometryOptions
from fusionkit.data.geometry.orient import orient
from fusionkit.data.geometry.region import PatientBox, Region, bounds, box_on, largest_part, mask_on, widened
from fusionkit.data.geometry.resample import Kernel, Onto, rescaled, sampling, steps_to
from fusionkit.data.geometry.roi_options import RoiOptions
from fusionkit.data.label_maps import by_vote, resize_as
from fusionkit.data.readers.facts import Facts
from fusionkit.data.readers.reader import ReadError

Array = NDArray[np.float32]
UNPLACED = "mask-without-grid"
"""The remark where an image and its mask of equal sizes do not both tell where they are."""
OTHER_FRAME = "mask-in-another-frame"
"""The remark where an image and its mask have different frames of reference."""
CUT = "cut-to"
"""The remark with the smallest part of an axis that `size` has left, of arrays that are cut."""
NO_PART = "roi-empty"
"""The remark of a case that lacks the input, since there is nothing in its mask and `empty: absent` says so."""


def left_to_geometry(options: GeometryOptions) -> GeometryOptions:
    """The options as a reader gets them, which gives every array as its file has it; only `orient` it may know."""
    return options.model_copy(update={"size": None, "spacing": None, "like": None})


def shaped(array: Array, facts: Facts, options: GeometryOptions, target: Grid | None = None,
           part: Region | PatientBox | None = None) -> tuple[Array, Facts]:
    """The array of a file after all steps, and its metadata with the grid that it has then.

    `target` is the grid of the input that it is to be like, `part` what `roi` names, None where the case has none.
    *Shapes*: (c, d, h, w) or (c, h, w); others only without any option of geometry.
    Raises: `ReadError` with `no-geometry`, `grid-missing`, `wrong-rank`, `no-overlap`, `too-large`, `empty-array`,
    `empty-mask`, `mask-vanished`, `mask-without-grid`, `box-outside`.
    """
    return _Shaping(array, facts, options).run(target, part)


class _Shaping:
    """One array on its way, with the grid that it has so far."""

    def __init__(self, array: Array, facts: Facts, options: GeometryOptions) -> None:
        self.array, self.facts, self.options = array, facts, options
        self.grid = facts.grid if array.ndim == 4 else None
        self.remarks: tuple[tuple[str, str], ...] = ()
        self.in_file = array.shape[1:]
        self.middle: Sequence[float] | None = None  # of the box of `roi`, in voxels

    def run(self, target: Grid | None, part: Region | PatientBox | None) -> tuple[Array, Facts]:
        if self.options.like is not None and target is None:
            self.options = self._without_target()
        options = self.options
        self._refuse_other_ranks()
        if options.orient not in (None, "keep"):
            self.array, self.grid = orient(self.array, self._placed("orient"), str(options.orient))
        if target is not None:
            self._take_grid(target)
        elif options.spacing is not None:
            self._respace(options.spacing)
        if options.roi is not None:
            self._take_part(options.roi, part)
        if options.size is not None:
            self._fit(options.size)
        return self.array, replace(self.facts, outcome_grid=self.grid, slices=(),
                                   remarks=(*self.facts.remarks, *self.remarks))

    def _without_target(self) -> GeometryOptions:
        """The options of a case that lacks the input which this one is to be like."""
        options = self.options
        if options.otherwise is None:
            raise ReadError(
                "grid-missing", f"the case has no {options.like!r}, which it is to be like",
                fix=f"add its {options.like!r}, or say what else to do: 'otherwise: {{spacing: [3, 2, 2], size: "
                    "[64, 128, 128]}'")
        own = options.otherwise
        return options.model_copy(update={"like": None, "orient": own.orient, "spacing": own.spacing, "size": own.size})

    def _refuse_other_ranks(self) -> None:
        axes, options = self.array.ndim - 1, self.options
        if options.size is not None and axes != len(options.size):
            raise ReadError("wrong-rank", f"the array has {axes + 1} axes with its channels",
                            f"'size' has {len(options.size)} entries, which requires {len(options.size) + 1} axes",
                            "correct 'size', or set 'channels' to the position of the channels")
        if self.array.size == 0 and options.size is not None:
            raise ReadError("empty-array", f"it has no values: its shape is {list(self.array.shape)}",
                            fix="save it again")

    def _placed(self, option: str) -> Grid:
        """The grid, which an option needs."""
        if self.grid is None:
            raise ReadError(
                "no-geometry", f"it does not tell where its voxels are, as {option!r} needs",
                "NumPy arrays and pictures never do, NIfTI files only with a qform or an sform",
                f"remove {option!r}, or give the files as NIfTI or DICOM with their geometry")
        return self.grid

    def _respace(self, wanted: Sequence[float | None]) -> None:
        if self.array.ndim == 3 and len(self.facts.pixel) == 2:
            if len(set(wanted)) == 1:
                wanted = wanted[:2]
            if len(wanted) == 2:
                self._resample([1.0 if new is None else new / old for new, old in zip(
                    wanted, self.facts.pixel, strict=True)])
                return
        grid = self._placed("spacing")
        if len(wanted) != 3:
            raise ReadError("wrong-rank", "it is a volume, and 'spacing' has two numbers",
                            fix="write three: depth, height and width")
        self._resample(steps_to(grid, wanted))

    def _resample(self, steps: Sequence[float]) -> None:
        """The array with samples so many old ones apart."""
        sizes, starts = sampling(self.array.shape[1:], steps)
        self._refuse_too_large(sizes)
        kernel = self._kernel()
        voted = by_vote(self.array, lambda share: rescaled(share, steps)) if kernel is None else None
        self.array = rescaled(self.array, steps, kernel or "nearest") if voted is None else voted
        self.grid = None if self.grid is None else self.grid.part(starts, sizes, steps)

    def _take_grid(self, target: Grid) -> None:
        source = self._placed("like")
        if source == target:
            return
        self._refuse_too_large(target.shape)
        kernel = self._kernel()
        onto = Onto(source, target, "nearest" if kernel == "nearest" else "linear")
        if onto.misses:
            raise ReadError(
                "no-overlap", f"it covers less than 1 % of {self.options.like!r} of its case",
                f"their outer corners are up to {source.apart(target):.0f} mm apart",
                "check that both files are of one patient and one examination, in one frame of reference")
        made = by_vote(self.array, lambda share: onto(share, [0.0])) if kernel is None else None
        if made is None:
            onto = Onto(source, target, "nearest") if kernel is None else onto
            made = onto(self.array, self.fill)
        else:
            made[:, ~onto.inside] = np.asarray(self.fill, dtype=np.float32)[:, None]
        self.array, self.grid = made, target

    def _take_part(self, roi: RoiOptions, part: Region | PatientBox | None) -> None:
        """Cut to a mask, or to a box, and its margin."""
        if self.array.ndim != 4:
            raise ReadError("wrong-rank", f"it has {self.array.ndim} axes with its channels, and 'roi' is for volumes",
                            None, "remove 'roi'")
        mask = self._mask(part) if isinstance(part, Region) else None
        if isinstance(part, PatientBox):
            start, size = box_on(part, self._placed("roi"))
        elif mask is None:
            self._without_part(roi, "its mask is empty" if part is not None else "its cells of 'roi' are blank")
            return
        else:
            mask = largest_part(mask) if roi.largest else mask
            start, size = bounds(mask)
            self._treat_outside(roi, mask)
        if isinstance(part, PatientBox) and any(first >= old or first + new <= 0 for first, new, old in zip(
                start, size, self.array.shape[1:], strict=True)):
            x, y, z = part.centre
            raise ReadError(
                "box-outside", "no voxel of it lies in the box that the table gives",
                f"its middle is at ({x:g}, {y:g}, {z:g}) mm in RAS; the volume reaches from {self._reach(0)} to "
                f"{self._reach(1)}", "check whether the columns are in LPS, as in DICOM, or in RAS, and write 'space: "
                f"{'RAS' if roi.space == 'LPS' else 'LPS'}' if so; else correct the cells")
        if self.options.centre == "mask":
            self.middle = [first + (count - 1) / 2 for first, count in zip(start, size, strict=True)]
            return
        spacing = self._placed("margin").spacing if any(roi.margin) else (1.0, 1.0, 1.0)
        self._cut(*widened(start, size, roi.margin, spacing))

    def _reach(self, end: Literal[0, 1]) -> str:
        corners = self._placed("roi").corners
        return "({:.4g}, {:.4g}, {:.4g})".format(*(corners.max(axis=0) if end else corners.min(axis=0)))

    def _mask(self, part: Region) -> Bools | None:
        """The mask on the grid that the array has now; None where it is empty in its file."""
        if not part.voxels:
            return None
        found, told = mask_on(part, self.facts.grid, self.grid, self.in_file)
        self.remarks += () if told else ((UNPLACED, ""),)
        return found

    def _without_part(self, roi: RoiOptions, said: str) -> None:
        """What becomes of a case whose mask is empty."""
        if roi.empty == "refuse":
            raise ReadError(
                "empty-mask", said, None,
                "leave the case out; or write 'empty: absent' under 'roi' (the case lacks the input, which is then "
                "'optional' in the graph), or 'empty: whole' (the volume is not cut)")
        if roi.empty == "absent":
            self.remarks += ((NO_PART, ""),)
        if roi.outside == "channel":
            self._treat_outside(roi, np.zeros(self.array.shape[1:], dtype=np.bool_))

    def _treat_outside(self, roi: RoiOptions, mask: Bools) -> None:
        if roi.outside == "pad":
            beyond = np.asarray(self.fill, dtype=np.float32).reshape(-1, 1, 1, 1)
            self.array = np.where(mask, self.array, beyond)
        elif roi.outside == "channel":
            self.facts = replace(self.facts, fill=(*self.fill, 0.0), labels=())
            self.array = np.concatenate([self.array, mask[None].astype(np.float32)])

    def _fit(self, wanted: Sequence[int | None]) -> None:
        how = self.options.how_fitted
        size = tuple(new or old for new, old in zip(wanted, self.array.shape[1:], strict=True))
        if how == "stretch":
            by_colour = self.options.interpolate == "auto" and self.facts.remark("labels-by-colour") is not None
            self.array = resize_as(self.array, size, "nearest" if by_colour else self.options.interpolate,
                                   self.facts.labels)
            self.grid = None if self.grid is None else self.grid.stretched(size)
            return
        if how in ("pad", "cover"):
            self._scale_by_one_factor(size, fills=how == "cover")
        old = self.array.shape[1:]
        start = fitting.middle_start(old, size) if self.middle is None else fitting.around(self.middle, size)
        self._cut([0 if new is None else first for first, new in zip(start, wanted, strict=True)], size)
        left = min(new / was for new, was in zip(size, old, strict=True))
        if left < 1 and self.middle is None:
            self.remarks += ((CUT, f"{left:.3g}"),)

    def _scale_by_one_factor(self, size: Sequence[int], *, fills: bool) -> None:
        """Samples as far apart along all axes, in mm or else in samples, as lets the array fit or fill the size."""
        spacing = self.grid.spacing if self.grid is not None else (
            self.facts.pixel if self.array.ndim == 3 and len(self.facts.pixel) == 2 else (1.0,) * len(size))
        each = [step * old / new for step, old, new in zip(spacing, self.array.shape[1:], size, strict=True)]
        apart = min(each) if fills else max(each)
        self._resample([1.0 if old == 1 else apart / step for step, old in zip(
            spacing, self.array.shape[1:], strict=True)])

    def _cut(self, start: Sequence[int], size: Sequence[int]) -> None:
        self._refuse_too_large(size)
        self.array = fitting.cut(self.array, start, size, self.fill)
        self.grid = None if self.grid is None else self.grid.part(start, size)

    @property
    def fill(self) -> Sequence[float]:
        """The value of each channel for voxels beyond the edge."""
        if len(self.facts.fill) == len(self.array):
            return self.facts.fill
        if self.options.pad is not None:
            return [self.options.pad] * len(self.array)
        return [float(value) for value in self.array.reshape(len(self.array), -1).min(axis=1)]

    def _kernel(self) -> Kernel | None:
        """How values between voxels are made; None for label maps."""
        how = self.options.interpolate
        if how == "auto" and self.facts.remark("labels-by-colour") is not None:
            return "nearest"
        if how == "labels" or (how == "auto" and self.facts.labels):
            return None
        return "linear" if how == "auto" else how

    def _refuse_too_large(self, size: Sequence[int]) -> None:
        if prod(size) * len(self.array) > MAX_VALUES:
            raise ReadError("too-large", f"it would have {' x '.join(map(str, size))} voxels",
                            f"more than {MAX_VALUES:,} values are not made",
                            "choose a larger 'spacing', or a smaller 'size'")
