"""The options of `read: dicom`."""

from __future__ import annotations

from typing import Annotated, Any, ClassVar, Literal

from fusionkit_plugins.blocks.dicom.headers import VARIANTS
from pydantic import BaseModel, ConfigDict, Field, PositiveInt, ValidationInfo, field_validator

from fusionkit.reading import INTERPOLATE, Bounded, IntensityOptions, Interpolation, Windows


class Rescale(BaseModel):
    """Slope and intercept for files without them."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    slope: float = Field(1.0, allow_inf_nan=False, description="Factor of the stored values.")
    intercept: float = Field(0.0, allow_inf_nan=False, description="What is added to them.")


class DicomOptions(IntensityOptions):
    """Options of `read: dicom`."""

    filled: ClassVar[tuple[str, ...]] = ("series",)

    form: Literal["volume", "image"] = Field(
        "volume", description="A `volume` from the slices of one series, or an `image` from a single file."
    )
    series: str | int | None = Field(
        None, description="Which series of the folder, by UID, number or description; needed if there are several. "
        "{column} stands for the cell of that column."
    )
    window: Windows | None = Field(
        None, description="Lowest and highest value (HU for CT), scaled to 0 and 1; outside values are clipped. For CT "
        "also `lung`, `soft`, `bone`, `brain`, `subdural`, `liver` or `pe`. A list, or `{NAME: [LOW, HIGH]}`, makes "
        "one channel for each.",
    )
    scale: Literal["window", "bits"] = Field(
        "window", description="What becomes 0 and 1: the two values of `window`; or, with `bits` and `form: image`, "
        "the smallest and the largest value that the file's bits can represent."
    )
    size: Annotated[tuple[PositiveInt, ...], Bounded] | None = Field(
        None, description="Size to resample to: [depth, height, width] of a volume, [height, width] of an image."
    )
    interpolate: Interpolation = Field("auto", description=INTERPOLATE)
    stack: dict[str, str | int | float] | None = Field(
        None, description="Which of several stacks of the series, such as `{TemporalPositionIndex: 1}`: elements of "
        "the slices, or frames, and their values; needed when slices share a place."
    )
    gaps: Literal["refuse", "resample"] = Field(
        "refuse", description="What to do with slices at uneven steps: `resample` interpolates them to an even step, "
        "one of the shortest of the series."
    )
    tilt: Literal["refuse", "keep"] = Field(
        "refuse", description="What to do with a stack from a tilted gantry: `keep` uses the sheared stack unchanged."
    )

    clean: Literal["air", "keep"] = Field(
        "air", description="How to treat padding (PixelPaddingValue): `air` replaces it, and all below -1024 HU, by "
        "-1024 in a CT, and by 0 in other images; `keep` rescales it like other values."
    )
    rescale: Rescale | None = Field(
        None, description="`{slope: 1, intercept: -1024}` for files whose header has neither slope, intercept nor "
        "table; values in a header take precedence."
    )

    @field_validator("stack")
    @classmethod
    def _known_elements(cls, given: dict[str, Any] | None) -> dict[str, Any] | None:
        unknown = [name for name in given or () if name not in VARIANTS]
        if unknown:
            raise ValueError(f"{unknown[0]!r} is none of {', '.join(VARIANTS)}")
        return given

    @field_validator("scale")
    @classmethod
    def _bits_of_an_image(cls, given: str, found: ValidationInfo) -> str:
        if given == "bits" and (found.data.get("form") != "image" or found.data.get("window") is not None):
            raise ValueError("'bits' is for 'form: image' without a window")
        return given

    @field_validator("size")
    @classmethod
    def _size_fits(cls, size: tuple[int, ...] | None, found: ValidationInfo) -> tuple[int, ...] | None:
        form = found.data.get("form", "volume")
        axes = {"volume": 3, "image": 2}[form]
        if size is not None and len(size) != axes:
            raise ValueError(f"the size of {'a volume' if axes == 3 else 'an image'} is {axes} numbers")
        return size
