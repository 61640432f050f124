"""The options of every input that is read from files: where its voxels lie, how far apart and how many they are.

They belong to no reader: a reader gives a volume as its file has it, and `geometry.steps` does what they say.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import isfinite, prod
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, PositiveInt, model_validator

from fusionkit.components.config import Config
from fusionkit.data.geometry.directions import is_code
from fusionkit.data.geometry.roi_options import RoiOptions

Interpolation = Literal["auto", "linear", "nearest", "labels", "cubic"]
INTERPOLATE = (
    "How values between voxels are made: `linear` for intensities; `nearest` takes the closest value; `labels`, for "
    "label maps and masks, the label that covers most of the new voxel; `cubic` for pictures, whose values it may "
    "exceed. `auto` is `labels` for files that look like label maps, with a warning, and `linear` for all others."
)
MAX_VALUES = 1 << 30  # of one array; a whole-body CT at half a millimetre has fewer
_LEAST_MM, _MOST_MM = 1e-3, 1e3


def bounded(size: tuple[int | None, ...]) -> tuple[int | None, ...]:
    """The size, if an array of it fits into memory. Raises: ValueError if it is impossibly large, or tells nothing."""
    known = [length for length in size if length is not None]
    if prod(known) > MAX_VALUES:
        raise ValueError(f"{' x '.join(map(str, known))} are {prod(known):,} values; at most {MAX_VALUES:,} are read")
    if not known:
        raise ValueError("it gives no size; remove 'size'")
    return size


def _two_or_three(size: tuple[int | None, ...]) -> tuple[int | None, ...]:
    if len(size) not in (2, 3):
        raise ValueError("two or three sizes are needed")
    return bounded(size)


def _code(text: str) -> str:
    if text != "keep" and not is_code(text):
        raise ValueError("it is 'keep' or three of the letters R L, A P, S I, one of each pair, such as RAS or LPS")
    return text


def _steps(given: Any) -> Any:
    if isinstance(given, int | float) and not isinstance(given, bool):
        given = (given,) * 3
    if not isinstance(given, Sequence) or isinstance(given, str) or len(given) not in (2, 3):
        raise ValueError("it is one number in mm, or three for depth, height and width, or two for a picture")
    for step in given:
        number = isinstance(step, int | float) and not isinstance(step, bool) and isfinite(step)
        if step is not None and not (number and _LEAST_MM <= step <= _MOST_MM):
            raise ValueError(f"a distance of voxels is a number of mm from {_LEAST_MM:g} to {_MOST_MM:g}, or null")
    if all(step is None for step in given):
        raise ValueError("it gives no distance; remove 'spacing'")
    return tuple(given)


Orientation = Annotated[str, AfterValidator(_code)]
Spacing = Annotated[tuple[float | None, ...],
                    BeforeValidator(_steps, json_schema_input_type=float | list[float | None])]
Size = Annotated[tuple[PositiveInt | None, ...], AfterValidator(_two_or_three)]
Fit = Literal["stretch", "pad", "cover", "crop"]

_ORIENT = ("Three letters for the directions of width, height and depth, as `RAS` or `LPS`: axes are swapped and "
           "flipped, no value changes. `keep` leaves the axes of the file; without it `nifti` gives RAS, `dicom` the "
           "axes of the file.")
_SPACING = ("Distance of voxel centres in mm, [depth, height, width] or one number for all; null keeps that axis. The "
            "middle of the volume stays where it is.")
_SIZE = ("Depth, height and width, or height and width, that every array gets; without it arrays keep their own, and "
         "null keeps that axis, as [null, 224, 224] for slices or frames of any number.")


class Otherwise(BaseModel):
    """What is done with an input where the one that it is to be `like` is missing."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    orient: Orientation | None = Field(None, description=_ORIENT)
    spacing: Spacing | None = Field(None, description=_SPACING)
    size: Size | None = Field(None, description=_SIZE)


class GeometryOptions(Config):
    """Where the voxels of an input lie, how far apart and how many they are."""

    model_config = ConfigDict(strict=False)

    orient: Orientation | None = Field(None, description=_ORIENT)
    spacing: Spacing | None = Field(None, description=_SPACING)
    size: Size | None = Field(None, description=_SIZE)
    fit: Fit | None = Field(
        None, description="How `size` is reached: `stretch` scales each axis; `pad` and `cover` scale all by one "
        "factor, in mm where the file tells, so that all of it fits, or the size is filled; `crop` scales nothing. The "
        "rest is cut, or padded, about the middle. Without it `crop` beside `spacing` and `roi`, else `stretch`.")
    centre: Literal["middle", "mask"] = Field(
        "middle", description="What `fit: crop` cuts about: the `middle`, which with `roi` is that of what `roi` has "
        "cut; or the box of the `mask` of `roi`, with what the volume shows around it.")
    interpolate: Interpolation = Field("auto", description=INTERPOLATE)
    pad: float | None = Field(
        None, description="The value of voxels beyond the edge, in the units of the file; without it -1024 for CT, 0 "
        "for other modalities, and the smallest value of the volume where the file does not tell its modality.")
    like: str | None = Field(
        None, min_length=1, description="Another input: this one is resampled onto its grid, case by case. Instead of "
        "`orient`, `spacing` and `size`.")
    otherwise: Otherwise | None = Field(
        None, description="`orient`, `spacing` and `size` of cases that lack the input of `like`; without it they are "
        "refused.")

    roi: RoiOptions | None = Field(
        None, description="Which part of a volume is used: `{mask: 'seg/{id}.nii.gz', margin: 10}`, or "
        "`{box: [x, y, z], extent: 64}` with columns of the table; see docs/masks.md.")

    @model_validator(mode="after")
    def _geometry_goes_together(self) -> GeometryOptions:
        beside = [name for name in ("orient", "spacing", "size", "fit", "roi") if getattr(self, name) is not None]
        if self.like is not None and beside:
            raise ValueError(f"'like' takes the grid of {self.like!r} as it is; remove {beside[0]!r}, or 'like'")
        if self.otherwise is not None and self.like is None:
            raise ValueError("'otherwise' is for cases without the input of 'like'; write 'like', or remove it")
        if self.fit is not None and self.size is None:
            raise ValueError("'fit' is how 'size' is reached; write 'size', or remove 'fit'")
        if self.size is not None and None in self.size and self.how_fitted in ("pad", "cover"):
            raise ValueError(f"'fit: {self.how_fitted}' scales all axes by one factor, and 'size' keeps one; write "
                             "'fit: stretch', or a number for each axis")
        if self.centre == "mask" and (self.roi is None or self.size is None or self.how_fitted != "crop"):
            raise ValueError("'centre: mask' is where 'fit: crop' cuts 'size' about the box of 'roi'; write them, or "
                             "remove it")
        if self.interpolate == "cubic" and self.like is not None:
            raise ValueError("'cubic' is for pictures; with 'like' write 'interpolate: linear'")
        return self

    @property
    def how_fitted(self) -> Fit:
        """How `size` is reached."""
        return self.fit or ("stretch" if self.spacing is None and self.roi is None else "crop")
