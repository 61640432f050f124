"""What the options of geometry do to the array of a file, in their order: turn, resample, cut.

A reader has decoded the array, and scaled its values. Axes: c channels, then d h w, or h w of pictures.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from math import prod

import numpy as np
from numpy.typing import NDArray

from fusionkit.data.geometry import fitting
from fusionkit.data.geometry.grid import Grid
from fusionkit.data.geometry.options import MAX_VALUES, GeometryOptions
from fusionkit.data.geometry.orient import orient
from fusionkit.data.geometry.resample import Kernel, Onto, rescaled, sampling, steps_to
from fusionkit.data.label_maps import by_vote, resize_as
from fusionkit.data.readers.facts import Facts
from fusionkit.data.readers.reader import ReadError

Array = NDArray[np.float32]
CUT = "cut-to"
"""The remark with the smallest part of an axis that `size` has left, of arrays that are cut."""


def left_to_geometry(options: GeometryOptions) -> GeometryOptions:
    """The options as a reader gets them, which gives every array as its file has it; only `orient` it may know."""
    return options.model_copy(update={"size": None, "spacing": None, "like": None})


def shaped(array: Array, facts: Facts, options: GeometryOptions, target: Grid | None = None) -> tuple[Array, Facts]:
    """The array of a file after all steps, and its metadata with the grid that it has then.

    `target` is the grid of the input that it is to be like.
    *Shapes*: (c, d, h, w) or (c, h, w); others only without any option of geometry.
    Raises: `ReadError` with `no-geometry`, `grid-missing`, `wrong-rank`, `no-overlap`, `too-large`, `empty-array`.
    """
    return _Shaping(array, facts, options).run(target)


class _Shaping:
    """One array on its way, with the grid that it has so far."""

    def __init__(self, array: Array, facts: Facts, options: GeometryOptions) -> None:
        self.array, self.facts, self.options = array, facts, options
        self.grid = facts.grid if array.ndim == 4 else None
        self.remarks: tuple[tuple[str, str], ...] = ()

    def run(self, target: Grid | None) -> tuple[Array, Facts]:
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
        if options.size is not None:
            self._fit(options.size)
        return self.array, replace(self.facts, outcome_grid=self.grid, remarks=(*self.facts.remarks, *self.remarks))

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

    def _fit(self, size: tuple[int, ...]) -> None:
        how = self.options.how_fitted
        if how == "stretch":
            by_colour = self.options.interpolate == "auto" and self.facts.remark("labels-by-colour") is not None
            self.array = resize_as(self.array, size, "nearest" if by_colour else self.options.interpolate,
                                   self.facts.labels)
            self.grid = None if self.grid is None else self.grid.stretched(size)
            return
        if how in ("pad", "cover"):
            self._scale_by_one_factor(size, fills=how == "cover")
        old = self.array.shape[1:]
        self._cut(fitting.middle_start(old, size), size)
        left = min(new / was for new, was in zip(size, old, strict=True))
        if left < 1:
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
