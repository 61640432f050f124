"""Intensities of images: the options that readers share, and what they do to an array before it is resized.

The order is clip, window, normalise. Statistics are of the file as it was read.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal, get_args

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, PlainValidator, model_validator

from fusionkit.data.readers.reader import FileOptions, ReadError, Window
from fusionkit.data.standard_scale import Landmarks, landmarks_of
from fusionkit.data.windows import Windows, several, windowed

Foreground = Literal["nonzero", "above_mean", "all"]
_Way = Literal["none", "zscore", "percentile", "nyul"]
_EMPTY_SHARE = 0.05  # of voxels that are exactly 0: more are the mark of a brain without its skull
_LEAST_SPREAD = 1e-8


class MeanAndSd(BaseModel):
    """A fixed mean and standard deviation, as a recipe of a pretrained network gives them."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    mean: float = Field(0.0, allow_inf_nan=False, description="What is subtracted.")
    sd: float = Field(1.0, gt=0, allow_inf_nan=False, description="What the rest is divided by.")


def _way(given: Any) -> _Way | MeanAndSd:
    if isinstance(given, Mapping | MeanAndSd):
        return MeanAndSd.model_validate(given)
    for way in get_args(_Way):
        if given == way:
            found: _Way = way
            return found
    raise ValueError(f"it is one of {', '.join(get_args(_Way))}, or {{mean: 0.5, sd: 0.25}}")


Normalise = Annotated[_Way | MeanAndSd, PlainValidator(_way, json_schema_input_type=_Way | MeanAndSd)]


def _rising(given: tuple[float, float]) -> tuple[float, float]:
    low, high = given
    if not 0 <= low < high <= 100:
        raise ValueError("it is two numbers from 0 to 100, the smaller one first")
    return given


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
    mask: Foreground | None = Field(
        None, description="The voxels whose statistics `normalise` takes: `nonzero`, `above_mean` or `all`. Without it "
        "`nonzero` where more than 5 % are exactly 0, else `above_mean`."
    )
    outside: Literal["keep", "zero"] = Field(
        "keep", description="What becomes of voxels outside `mask` with `normalise: zscore`: `keep` scales them too, "
        "`zero` makes them 0."
    )

    @model_validator(mode="after")
    def _go_together(self) -> IntensityOptions:
        way, measured = self.normalise, self.normalise in ("zscore", "percentile", "nyul")
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


def intensities(array: NDArray[np.float32], options: IntensityOptions
                ) -> tuple[NDArray[np.float32], tuple[Landmarks, ...]]:
    """The array after clip, window and normalisation, and the landmarks of each channel for `normalise: nyul`.

    Values are left to be matched to the training cases in that case, since no file knows them.
    Shapes: (c, ...), kept; several windows make channels of one.
    Raises: `ReadError` with `no-foreground`, `several-windows`.
    """
    raw = array
    if options.clip is not None:
        array = np.clip(array, np.float32(options.clip[0]), np.float32(options.clip[1]))
    if options.window is not None:
        array = windowed(array, options.window)
    way = options.normalise
    if way is None or way == "none":
        return array, ()
    if isinstance(way, MeanAndSd):
        return (array - np.float32(way.mean)) / np.float32(way.sd), ()
    if raw.ndim < 3:
        raise ReadError("wrong-rank", f"it has {raw.ndim} axes, and 'normalise' is for images and volumes",
                        None, "remove 'normalise', or set 'channels' to the position of the channels")
    inside = [foreground(channel, options.mask) for channel in raw]
    inside = inside * (len(array) // len(inside))
    if way == "nyul":
        return array, tuple(landmarks_of(channel[there]) for channel, there in zip(array, inside, strict=True))
    limits = options.percentile or (0.5, 99.5)
    return np.stack([
        zscore(channel, there, outside=options.outside) if way == "zscore" else percentiles(channel, there, limits)
        for channel, there in zip(array, inside, strict=True)]), ()


def foreground(channel: NDArray[np.float32], chosen: Foreground | None) -> NDArray[np.bool_]:
    """Which voxels count for statistics. *Shape*: that of the channel.

    Raises: `ReadError` with `no-foreground` if there are none.
    """
    if chosen is None:
        chosen = "nonzero" if np.count_nonzero(channel == 0) > _EMPTY_SHARE * channel.size else "above_mean"
    found: NDArray[np.bool_] = (np.ones(channel.shape, dtype=bool) if chosen == "all" else
                                channel != 0 if chosen == "nonzero" else channel > channel.mean(dtype=np.float64))
    if not found.any():
        what = "is 0 everywhere" if chosen == "nonzero" else "has one value everywhere"
        raise ReadError("no-foreground", f"it {what}, so that 'normalise' has nothing to measure",
                        None, "check the file, or write 'mask: all'")
    return found


def zscore(channel: NDArray[np.float32], inside: NDArray[np.bool_], *, outside: str = "keep") -> NDArray[np.float32]:
    """The channel less the mean of the voxels `inside`, by their standard deviation (of the population).

    *Shape*: kept.
    """
    met = channel[inside].astype(np.float64)
    scaled = ((channel - met.mean()) / max(met.std(), _LEAST_SPREAD)).astype(np.float32)
    return np.where(inside, scaled, np.float32(0)) if outside == "zero" else scaled


def percentiles(channel: NDArray[np.float32], inside: NDArray[np.bool_], limits: tuple[float, float]
                ) -> NDArray[np.float32]:
    """The channel with two percentiles of the voxels `inside` as 0 and 1, clipped. *Shape*: kept."""
    low, high = np.percentile(channel[inside].astype(np.float64), limits)
    scaled: NDArray[np.float32] = np.clip((channel - low) / max(high - low, _LEAST_SPREAD), 0, 1).astype(np.float32)
    return scaled
