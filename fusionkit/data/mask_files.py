"""Reads the masks that belong to images: those of `roi`, and those whose voxels `normalise` measures."""

from __future__ import annotations

from pathlib import Path

from fusionkit.arrays import Bools
from fusionkit.data.companions import Companions
from fusionkit.data.geometry.options import GeometryOptions
from fusionkit.data.geometry.region import Region, mask_on
from fusionkit.data.geometry.steps import OTHER_FRAME, left_to_geometry
from fusionkit.data.input_spec import InputSpec
from fusionkit.data.intensities import DrawnForeground
from fusionkit.data.readers.facts import Facts
from fusionkit.data.readers.reader import ReadError
from fusionkit.files import check_regular


def options_of_reader(spec: InputSpec, beside: Companions) -> GeometryOptions:
    """The options as the reader gets them: without those of geometry, and with the mask of `normalise` of this file."""
    options, reader, path = left_to_geometry(spec.options), spec.foreground, beside.foreground
    if reader is None or path is None:
        return options

    def inside(facts: Facts, shape: tuple[int, ...]) -> Bools:
        part = region_of(reader, path, facts)
        if not part.voxels:
            raise ReadError("no-foreground", f"the mask {str(path)!r} of 'normalise' is empty", None,
                            "leave its cell blank if there is none, or write 'mask: above_mean'")
        return mask_on(part, facts.grid, facts.grid, shape)[0]

    return options.model_copy(update={"mask": DrawnForeground(inside)})


def region_of(reader: InputSpec, mask: Path, image: Facts) -> Region:
    """The mask that belongs to an image, by the input that reads it, and how it lies to the image.

    Raises: `ReadError` as its reader does, about the mask.
    """
    try:
        check_regular(mask)
        share, facts = reader.source.examine(mask, reader.options, image)
    except ReadError as problem:
        raise ReadError(problem.code, f"its mask {str(mask)!r}: {problem.message}", problem.why, problem.fix
                        ) from problem
    frames = {image.frame_of_reference, facts.frame_of_reference} - {""}
    apart = ((OTHER_FRAME, ""),) if len(frames) == 2 else ()
    # An empty mask has a rule of its own under `roi`.
    return Region(share[0], facts.grid, (*(each for each in facts.remarks if each[0] != "mask-empty"), *apart))
