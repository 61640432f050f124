"""Intensities of images: the options that readers share, and what they do to an array before it is resized.

The order is clip, window, normalise. Statistics are of the file as it was read.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Annotated, Any, Literal, get_args

import numpy as np
from numpy.typing import NDArray
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, PlainSerializer, PlainValidator, model_validator

from fusionkit.arrays import Bools
from fusionkit.data.readers.facts import Facts
from fusionkit.data.readers.reader import FileOptions, ReadError, Window
from fusionkit.data.standard_scale import Landmarks, landmarks_of
from fusionkit.data.transforms import window
from fusionkit.data.windows import Windows, several

Foreground = Literal["nonzero", "above_zero", "above_mean", "all"]
_Name = Literal["none", "zscore", "percentile", "nyul"]
_EMPTY_SHARE = 0.05  # of voxels that are exactly 0: more are the mark of a brain without its skull
_LEAST_SPREAD = 1e-8
_AIR_HU = -1024.0


class MeanAndSd(BaseModel):
    """A fixed mean and standard deviation, as a recipe of a pretrained network gives them."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    mean: float = Field(0.0, allow_inf_nan=False, description="What is subtracted.")
    sd: float = Field(1.0, gt=0, allow_inf_nan=False, description="What the rest is divided by.")


def _way(given: Any) -> _Name | MeanAndSd:
    if isinstance(given, Mapping | MeanAndSd):
        return MeanAndSd.model_validate(given)
    for way in get_args(_Name):
        if given == way:
            found: _Name = way
            return found
    raise ValueError(f"it is one of {', '.join(get_args(_Name))}, or {{mean: 0.5, sd: 0.25}}")


def _plain(way: object) -> object:
    return way.model_dump() if isinstance(way, MeanAndSd) else way


Normalise = Annotated[_Name | MeanAndSd, PlainValidator(_way, json_schema_input_type=_Name | MeanAndSd),
                      # pydantic's own serializer of such a union warns of the way that it does not take
                      PlainSerializer(_plain, return_type=Any)]


def _foreground(given: str) -> str:
    if given not in get_args(Foreground) and not is_file(given):
        words = ", ".join(get_args(Foreground))
        raise ValueError(f"it is {words}, or the path of a mask such as 'brain/{{id}}.nii.gz'")
    return given


def is_file(mask: str | None) -> bool:
    """Whether the option `mask` is the path of a mask."""
    return mask is not None and any(mark in mask for mark in "/.{")


@dataclass(frozen=True)
class DrawnForeground:
    """The option `mask` for one file: what reads its mask, as `inside(facts, shape)` on the grid of that file."""

    inside: Callable[[Facts, tuple[int, ...]], Bools]


def _rising(given: tuple[float, float]) -> tuple[float, float]:
    low, high = given
    if not 0 <= low < high <= 100:
        raise ValueError("it is two numbers from 0 to 100, the smaller one first")
    return given


_EXACT = 2048
"""The largest number up to which half precision has every whole one."""


class IntensityOptions(FileOptions):
    """Options of readers of images: derive a reader's own from it, and call `intensities` in `module`."""

    window: Windows | None = Field(
        None, description="Two values that become 0 and 1; values outside are clipped. For CT also `lung`, `soft`, "
        "`bone`, `brain`, `subdural`, `liver` or `pe`. A list, or `{NAME: [LOW, HIGH]}`, makes one channel for each.",
    )
    clip: Window | None = Field(
        None, description="Two values that smaller and larger ones become, in the units of the file; nothing is scaled."
    )
    normalise: Normalise | None = Field(
        None, description="For values without a unit, as in MR: `zscore`, `percentile` (two percentiles become 0 and "
        "1), `nyul` (the distribution is matched to that of the training cases) or `none`. `{mean: 0.5, sd: 0.25}` is "
        "for recipes, after `window`."
    )
    percentile: tuple[float, float] | None = Field(
        None, description="The percentiles of `normalise: percentile`; [0.5, 99.5] without it."
    )
    mask: Annotated[str, AfterValidator(_foreground)] | None = Field(
        None, description="The voxels whose statistics `normalise` takes: `nonzero`, `above_zero`, `above_mean`, "
        "`all`, or the path of a mask, such as `brain/{id}.nii.gz`. Without it `nonzero` where more than 5 % are "
        "exactly 0, else `above_mean`."
    )
    outside: Literal["keep", "zero"] = Field(
        "keep", description="What becomes of voxels outside `mask` with `normalise: zscore`: `keep` scales them too, "
        "`zero` makes them 0."
    )

    store: Literal["single", "half"] = Field(
        "single", description="How values are kept: `half` rounds them to 11 bits, which halves the cache; at most "
        "0.00025 of values up to 1. Values beyond 2048 are refused, where its steps are wider than 1."
    )

    @model_validator(mode="after")
    def _go_together(self) -> IntensityOptions:
        way = self.normalise
        measured = isinstance(way, str) and way != "none"
        if self.window is not None and self.clip is not None:
            raise ValueError("'window' clips already; remove 'clip'")
        if self.window is not None and way in ("percentile", "nyul"):
            raise ValueError(f"'window' and 'normalise: {way}' both set the range; remove one")
        if self.percentile is not None:
            if way != "percentile":
                raise ValueError("'percentile' is for 'normalise: percentile'; write that, or remove 'percentile'")
            _rising(self.percentile)
        if self.mask is not None and not measured:
            raise ValueError("'mask' is for 'normalise: zscore', 'percentile' or 'nyul'; write one, or remove 'mask'")
        if way == "nyul" and self.roi is not None and self.roi.outside == "channel":
            raise ValueError("'normalise: nyul' has a scale for each channel of the file, and 'outside: channel' of "
                             "'roi' appends a mask; read the mask as an input of its own")
        if self.outside == "zero" and way != "zscore":
            raise ValueError("'outside: zero' is for 'normalise: zscore'; write that, or remove 'outside'")
        return self

    @property
    def as_stored(self) -> bool:
        """Whether values keep their meaning, so that those of a label map are still labels."""
        return self.window is None and self.clip is None and self.normalise in (None, "none")

    @property
    def window_channels(self) -> int | None:
        """The number of channels if several windows make them, else None."""
        count = len(several(self.window))
        return count if count > 1 else None


def halved(array: NDArray[np.float32]) -> NDArray[np.float32]:
    """The array with each value rounded to half precision, as the cache keeps it.

    Raises: `ReadError` with `beyond-half` for values beyond 2048, of which whole numbers are not kept.
    """
    extreme = float(np.abs(array).max(initial=0.0))
    if extreme > _EXACT:
        raise ReadError("beyond-half", f"it has values up to {extreme:g} away from 0, and 'store: half' keeps whole "
                                       f"numbers up to {_EXACT}", "beyond it, neighbouring values become equal",
                        "remove 'store: half', or bring the values into a range with 'window', 'clip' or 'normalise'")
    return array.astype(np.float16).astype(np.float32)


def intensities(array: NDArray[np.float32], facts: Facts, options: IntensityOptions, *, unit: float = 1.0
                ) -> tuple[NDArray[np.float32], Facts]:
    """The array after clip, window and normalisation, and its metadata.

    With `normalise: nyul` values are left to be matched to the training cases, which no file knows, and the metadata
    have the landmarks of each channel. They also have the value of voxels beyond the edge, where it is known. `unit` is
    what one unit of the file is in the array.
    Shapes: (c, ...), kept; several windows make channels of one.
    Raises: `ReadError` with `no-foreground`, `several-windows`, `wrong-rank`.
    """
    pad = _beyond(facts, options, unit)
    if options.as_stored:
        return array, facts if pad is None else replace(facts, fill=(pad,) * len(array))
    windows = several(options.window)
    if len(windows) > 1 and len(array) != 1:
        raise ReadError("several-windows", f"it has {len(array)} channels, and {len(windows)} windows are given",
                        "each window makes a channel of one", "give one window, or files of one channel")
    if array.ndim < 3 and isinstance(options.normalise, str):
        raise ReadError("wrong-rank", f"it has {array.ndim} axes, and 'normalise' is for images and volumes",
                        None, "remove 'normalise', or set 'channels' to the position of the channels")
    chosen: Any = options.mask  # of one file the mask that its path leads to, see `case_files`
    inside = chosen.inside(facts, array.shape[1:]) if isinstance(chosen, DrawnForeground) else None
    ways = [_Way(raw, limits, options, inside) for raw in array for limits in windows or (None,)]
    made = np.stack([way.scaled for way in ways])
    fill = () if pad is None else tuple(way.beyond(pad) for way in ways)
    landmarks = tuple(way.landmarks for way in ways) if options.normalise == "nyul" else ()
    return made, replace(facts, fill=fill, landmarks=landmarks)


def _beyond(facts: Facts, options: IntensityOptions, unit: float) -> float | None:
    """The value of voxels beyond the edge, in the units of the array; None where the smallest one is as good as any."""
    if options.pad is not None:
        return options.pad * unit
    if facts.modality == "CT":
        return _AIR_HU if facts.units == "HU" else None
    return 0.0 if facts.modality else None


class _Way:
    """What one channel of a file goes through on its way to one channel of the network."""

    def __init__(self, raw: NDArray[np.float32], limits: tuple[float, float] | None, options: IntensityOptions,
                 inside: Bools | None = None) -> None:
        self.raw, self.limits, self.options = raw, limits, options
        self.landmarks: Landmarks = ()
        self.scaled = self._in_range(raw)
        if isinstance(options.normalise, str) and options.normalise != "none":
            self._measure(foreground(raw, options.mask) if inside is None else inside)
        elif isinstance(options.normalise, MeanAndSd):
            self._shift(options.normalise.mean, options.normalise.sd)

    def _in_range(self, values: NDArray[np.float32]) -> NDArray[np.float32]:
        if self.options.clip is not None:
            return np.clip(values, np.float32(self.options.clip[0]), np.float32(self.options.clip[1]))
        return values if self.limits is None else window(values, *self.limits)

    def _measure(self, inside: NDArray[np.bool_]) -> None:
        options = self.options
        if options.normalise == "nyul":
            self.landmarks = landmarks_of(self.scaled[inside])
        elif options.normalise == "zscore":
            self._shift(*mean_and_sd(self.scaled[inside]))
            self.scaled = np.where(inside, self.scaled, np.float32(0)) if options.outside == "zero" else self.scaled
        else:
            low, high = np.percentile(self.scaled[inside].astype(np.float64), options.percentile or (0.5, 99.5))
            self._shift(float(low), max(float(high - low), _LEAST_SPREAD))
            self.scaled = np.clip(self.scaled, 0, 1)

    def _shift(self, mean: float, sd: float) -> None:
        self.mean, self.sd = mean, sd
        self.scaled = ((self.scaled - mean) / sd).astype(np.float32)

    mean, sd = 0.0, 1.0

    def beyond(self, pad: float) -> float:
        """What becomes of the value of voxels beyond the edge."""
        if self.options.outside == "zero":
            return 0.0
        value = (float(self._in_range(np.array([pad], dtype=np.float32))[0]) - self.mean) / self.sd
        return min(1.0, max(0.0, value)) if self.options.normalise == "percentile" else value


def foreground(channel: NDArray[np.float32], chosen: str | None) -> Bools:
    """Which voxels count for statistics. *Shape*: that of the channel.

    Raises: `ReadError` with `no-foreground` if there are none.
    """
    if is_file(chosen):
        raise ReadError("no-foreground", "its cell of 'mask' is blank, so that 'normalise' has nothing to measure",
                        None, "fill in the cell, or write 'mask: nonzero', 'above_zero', 'above_mean' or 'all'")
    if chosen is None:
        chosen = "nonzero" if np.count_nonzero(channel == 0) > _EMPTY_SHARE * channel.size else "above_mean"
    found: Bools = (np.ones(channel.shape, dtype=bool) if chosen == "all" else
                                channel != 0 if chosen == "nonzero" else
                                channel > (0 if chosen == "above_zero" else channel.mean(dtype=np.float64)))
    if not found.any():
        what = {"nonzero": "is 0 everywhere", "above_zero": "has no value above 0"}.get(
            chosen, "has one value everywhere")
        raise ReadError("no-foreground", f"it {what}, so that 'normalise' has nothing to measure",
                        None, "check the file, or write 'mask: all'")
    return found


def mean_and_sd(values: NDArray[np.float32]) -> tuple[float, float]:
    """The mean, and the standard deviation of the population, which is not 0."""
    exact = values.astype(np.float64)
    return float(exact.mean()), max(float(exact.std()), _LEAST_SPREAD)
