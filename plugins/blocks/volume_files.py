"""What readers of files with one volume share: options, and warnings about the files of an input taken together."""

from __future__ import annotations

from collections.abc import Sequence

from pydantic import Field

from fusionkit.reading import (
    Advice,
    Facts,
    IntensityOptions,
    VolumeSize,
    constant,
    label_maps,
    ranges,
    spacings,
    window_of_ct,
)


class VolumeFileOptions(IntensityOptions):
    """Options of a reader of volumes."""

    size: VolumeSize | None = Field(
        None, description="Depth, height and width that every volume is resized to; without it volumes keep their own, "
        "and null keeps that axis."
    )
    fill_nan: float | None = Field(
        None, allow_inf_nan=False, description="The value that replaces NaN; without it NaN is refused."
    )


def advise_volumes(options: VolumeFileOptions, files: Sequence[Facts]) -> list[Advice]:
    """Warnings that hold for every format: spacings, label maps, windows, ranges, constant files."""
    return [*spacings(files, options.size is not None), *label_maps(options, files), *window_of_ct(options, files),
            *ranges(files), *constant(files)]
