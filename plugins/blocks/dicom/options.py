"""The options of `read: dicom`."""

from __future__ import annotations

from typing import Annotated, Any, ClassVar, Literal

from fusionkit_plugins.blocks.dicom.conditions import Wanted, known_keywords
from fusionkit_plugins.blocks.dicom.headers import VARIANTS
from fusionkit_plugins.blocks.dicom.stacks import checked_rule
from fusionkit_plugins.blocks.film import EVERY
from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    PositiveFloat,
    ValidationInfo,
    field_validator,
    model_validator,
)

from fusionkit.reading import FRAMES, Frames, IntensityOptions, Windows


class Rescale(BaseModel):
    """Slope and intercept for files without them."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    slope: float = Field(1.0, allow_inf_nan=False, description="Factor of the stored values.")
    intercept: float = Field(0.0, allow_inf_nan=False, description="What is added to them.")


class DicomOptions(IntensityOptions):
    """Options of `read: dicom`."""

    filled: ClassVar[tuple[str, ...]] = ("series", "weight")

    form: Literal["volume", "image", "film"] = Field(
        "volume", description="A `volume` from the slices of one series, an `image` from a single file, or the frames "
        "of a single file as a `film`, whose depth is time."
    )
    series: str | int | None = Field(
        None, description="Which series of the folder, by UID, number or description; needed if there are several. "
        "{column} stands for the cell of that column."
    )
    choose: Annotated[dict[str, Any], AfterValidator(checked_rule)] | None = Field(
        None, description="Rules that choose one of several series, as `{modality: CT, description: '*lung*', "
        "orientation: axial, most: slices}`; see docs/dicom.md."
    )
    below: bool = Field(False, description="Whether files of folders below the folder are read too.")
    window: Windows | None = Field(
        None, description="Lowest and highest value (HU for CT), scaled to 0 and 1; outside values are clipped. For CT "
        "also `lung`, `soft`, `bone`, `brain`, `subdural`, `liver` or `pe`. A list, or `{NAME: [LOW, HIGH]}`, makes "
        "one channel for each.",
    )
    unit: Literal["suv"] | None = Field(
        None, description="`suv` converts PET to SUV by body weight, in g/ml."
    )
    weight: str | None = Field(
        None, description="The column with the weight of the patient in kg, for `unit: suv`; where it is blank, and "
        "without it, the header's."
    )
    scale: Literal["window", "bits"] = Field(
        "window", description="What becomes 0 and 1: the two values of `window`; or, with `bits` and `form: image`, "
        "the smallest and the largest value that the file's bits can represent."
    )
    voi: str | Annotated[int, Field(ge=0)] = Field(
        "none", description="How a radiograph is shown, with `form: image`: `header` by the VOI LUT of its header, or "
        "else its window, which gives 0 to 1; a number (counted from 0) or an explanation chooses one of several; "
        "`none` keeps the values."
    )
    laterality: Literal["left", "right"] | None = Field(
        None, description="The side that all pictures are turned to, as mammograms: those of the other are mirrored."
    )
    region: Literal["first"] | None = Field(
        None, description="`first` cuts an ultrasound to the first region of its header, without the text around it."
    )
    frames: Frames | None = Field(
        None, description=f"With `form: image`, of a file with several frames, which it needs. {FRAMES}"
    )
    every: PositiveFloat | None = Field(None, description=f"With `form: film`. {EVERY}")
    require: dict[str, Wanted] | None = Field(
        None, description="Elements of the header and the values that they must have, as `{ViewPosition: [PA, AP]}`; "
        "files with others are refused. Texts may hold `*` and `?`."
    )
    stack: dict[str, str | int | float] | None = Field(
        None, description="Which of several stacks of the series, such as `{TemporalPositionIndex: 1}`: elements of "
        "the slices, or frames, and their values; needed when slices share a place."
    )
    gaps: Literal["refuse", "resample"] = Field(
        "refuse", description="What to do with slices at uneven steps: `resample` interpolates them to an even step, "
        "one of the shortest of the series."
    )
    tilt: Literal["refuse", "keep", "resample"] = Field(
        "refuse", description="What to do with a stack from a tilted gantry: `keep` uses the sheared stack unchanged, "
        "`resample` shifts its slices to an upright one, which is larger, so that nothing is cut off."
    )

    clean: Literal["air", "keep"] = Field(
        "air", description="How to treat padding (PixelPaddingValue): `air` replaces it, and all below -1024 HU, by "
        "-1024 in a CT, and by 0 in other images; `keep` rescales it like other values."
    )
    rescale: Rescale | None = Field(
        None, description="`{slope: 1, intercept: -1024}` for files whose header has neither slope, intercept nor "
        "table; values in a header take precedence."
    )

    @property
    def keeps_bits(self) -> bool:
        """Whether values are not scaled by what a header says of their range."""
        return self.scale == "window" and self.voi == "none"

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
        if given == "bits" and (found.data.get("form") == "volume" or found.data.get("window") is not None):
            raise ValueError("'bits' is for 'form: image' without a window")
        return given

    @field_validator("voi", "laterality", "region", "frames", "every")
    @classmethod
    def _of_a_picture(cls, given: Any, found: ValidationInfo) -> Any:
        of = {"frames": ("image",), "every": ("film",)}.get(str(found.field_name), ("image", "film"))
        if given not in (None, "none") and found.data.get("form") not in of:
            raise ValueError(f"it is for 'form: {of[0]}'")
        if found.field_name == "voi" and given != "none" and (
                found.data.get("window") is not None or found.data.get("scale") == "bits"):
            raise ValueError("it gives 0 to 1 already; remove 'window' and 'scale'")
        return given

    @field_validator("choose")
    @classmethod
    def _instead_of_series(cls, given: dict[str, Any] | None, found: ValidationInfo) -> dict[str, Any] | None:
        if given is not None and found.data.get("series") is not None:
            raise ValueError("'series' chooses already; remove one")
        return given

    @field_validator("require")
    @classmethod
    def _elements(cls, given: dict[str, Wanted] | None) -> dict[str, Wanted] | None:
        known_keywords(given)
        return given

    @field_validator("weight")
    @classmethod
    def _a_column(cls, given: str | None, found: ValidationInfo) -> str | None:
        if given is not None and found.data.get("unit") != "suv":
            raise ValueError("it is for 'unit: suv'")
        return given if given is None or "{" in given else f"{{{given}}}"

    @field_validator("unit")
    @classmethod
    def _of_a_volume(cls, given: str | None, found: ValidationInfo) -> str | None:
        if given is not None and found.data.get("form") != "volume":
            raise ValueError("it is for 'form: volume'")
        return given

    @model_validator(mode="after")
    def _size_fits(self) -> DicomOptions:
        what, axes = {"volume": ("a volume", 3), "image": ("an image", 2), "film": ("a film", 3)}[self.form]
        if self.size is not None and len(self.size) != axes:
            more = ", such as 'size: [null, 224, 224]', which keeps the number of frames" if self.form == "film" else ""
            raise ValueError(f"the size of {what} is {axes} numbers; write that many{more}")
        return self
