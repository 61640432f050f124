"""The option `roi`: which part of a volume is used, by a mask, by boxes drawn on slices, or by a place in the table."""

from __future__ import annotations

from collections.abc import Sequence
from math import isfinite
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, model_validator

Labels = str | int | tuple[str | int, ...]
LABEL = ("Which label of the mask: by name (DICOM SEG, RTSTRUCT, .seg.nrrd), in which `*` and `?` stand for any text, "
         "or by number; a list is united. Without it all voxels that are not 0.")
_MOST_MM = 1e4


def _lengths(given: Any) -> Any:
    if isinstance(given, int | float) and not isinstance(given, bool):
        given = (given,) * 3
    if not isinstance(given, Sequence) or isinstance(given, str) or len(given) != 3:
        raise ValueError("it is one number in mm, or three for depth, height and width")
    for length in given:
        if not isinstance(length, int | float) or isinstance(length, bool) or not (
                isfinite(length) and 0 <= length <= _MOST_MM):
            raise ValueError(f"a margin is a number of mm from 0 to {_MOST_MM:g}")
    return tuple(float(length) for length in given)


def _extent(given: Any) -> Any:
    if isinstance(given, int | float) and not (isfinite(given) and 0 < given <= _MOST_MM):
        raise ValueError(f"an extent is a number of mm above 0, of at most {_MOST_MM:g}, or a column")
    return given


Margin = Annotated[tuple[float, float, float], BeforeValidator(_lengths, json_schema_input_type=float | list[float])]
Extent = Annotated[float | str, BeforeValidator(_extent, json_schema_input_type=float | str)]


class RoiOptions(BaseModel):
    """Which part of a volume is used."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    mask: str | None = Field(None, min_length=1, description="Path of the mask of a case; {column} is filled in.")
    label: Labels | None = Field(None, description=LABEL)
    margin: Margin = Field(
        (0.0, 0.0, 0.0), description="mm on every side of the mask or box, one number or [depth, height, width].")
    box: str | tuple[str, str, str] | None = Field(
        None, description="Instead of `mask`: the columns [x, y, z] with the centre of a box in mm, or the folder of "
        "PASCAL VOC files of a case, one for each slice, named by its SOPInstanceUID.")
    extent: Extent | None = Field(None, description="The edge of the box in mm: a number, or a column.")
    space: Literal["LPS", "RAS"] = Field(
        "LPS", description="The world of the columns of `box`: LPS as in DICOM, or RAS as in NIfTI.")
    outside: Literal["keep", "pad", "channel"] = Field(
        "keep", description="What becomes of voxels outside the mask: `pad` gives them the value of voxels beyond the "
        "edge, `channel` keeps them and appends the mask as a channel.")
    empty: Literal["refuse", "absent", "whole"] = Field(
        "refuse", description="A case whose mask is empty, or whose cells are blank: `refuse`, `absent` (the case "
        "lacks the input), or `whole` (the volume is not cut).")
    largest: bool = Field(False, description="Whether only the largest connected part of the mask counts.")

    predicted: bool = Field(
        False, description="Whether masks or boxes were made without knowledge of the diagnosis, as by a network; else "
        "`fusionkit evaluate` says what that means for its figures.")

    @model_validator(mode="after")
    def _go_together(self) -> RoiOptions:
        if (self.mask is None) == (self.box is None):
            raise ValueError("it needs 'mask' or 'box', and not both")
        if (self.columns != ()) != (self.extent is not None):
            raise ValueError("'extent' is the size of a box of columns; write both, as 'box: [x, y, z], extent: 64'")
        if self.columns and (self.label is not None or self.outside != "keep" or self.largest):
            raise ValueError("'label', 'outside' and 'largest' are for masks; remove them")
        if not self.columns and self.space != "LPS":
            raise ValueError("'space' is for the columns of 'box': files tell where they are; remove it")
        return self

    @property
    def columns(self) -> tuple[str, ...]:
        """The columns with the centre of a box."""
        return self.box if isinstance(self.box, tuple) else ()

    @property
    def files(self) -> str | None:
        """The path of the mask, or of the folder of boxes, of a case; None where columns say it all."""
        return self.mask if self.mask is not None else self.box if isinstance(self.box, str) else None
