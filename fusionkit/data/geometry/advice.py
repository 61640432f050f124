"""Warnings about the geometry of all files of one input, beside those of its reader."""

from __future__ import annotations

from collections.abc import Sequence

from fusionkit.data.geometry.options import GeometryOptions
from fusionkit.data.geometry.steps import CUT, OTHER_FRAME, UNPLACED
from fusionkit.data.readers.advice import Advice, count, remarked
from fusionkit.data.readers.facts import Facts

_SMALL = 0.5


def settled(options: object) -> frozenset[str]:
    """The warnings about differences between files that the options of an input remove."""
    if not isinstance(options, GeometryOptions):
        return frozenset()
    spacing = options.like is not None or (options.spacing is not None and None not in options.spacing)
    turned = options.like is not None or options.orient not in (None, "keep")
    return frozenset([*["spacings-differ"] * spacing, *["orientations-differ"] * turned])


def with_geometry(of_reader: Sequence[Advice], options: GeometryOptions, files: Sequence[Facts]) -> list[Advice]:
    """The warnings of a reader that the options of geometry leave true, and those about these options."""
    needless = settled(options)
    return [*(advice for advice in of_reader if advice.code not in needless), *_too_small_part(files),
            *_of_masks(files)]


def _of_masks(files: Sequence[Facts]) -> list[Advice]:
    """`frames-of-reference`, `no-geometry`: masks of `roi` that may lie elsewhere."""
    found = []
    if cases := remarked(files, OTHER_FRAME):
        found.append(Advice("frames-of-reference", f"{count(cases, files)} have a mask in another frame of reference",
                            cases, "places in mm are comparable within one FrameOfReferenceUID only",
                            "check that both belong to one series, or register them first"))
    if cases := remarked(files, UNPLACED):
        found.append(Advice("no-geometry", f"{count(cases, files)} and their masks do not both tell where their voxels "
                            "are", cases, "they are of equal size, and taken voxel by voxel",
                            "give both as NIfTI or DICOM with their geometry"))
    return found


def _too_small_part(files: Sequence[Facts]) -> list[Advice]:
    """`too-small-part`: `size` cuts off more than half of an axis in every case."""
    left = [facts.remark(CUT) for facts in files]
    if not files or any(part is None or float(part) >= _SMALL for part in left):
        return []
    most = max(float(part) for part in left if part is not None)
    return [Advice(
        "too-small-part", f"'size' cuts more than half off an axis in all {len(files)} cases", tuple(range(len(files))),
        f"at most {most:.0%} of the shortest part is left, about the middle of the volume; the organ may lie elsewhere",
        "choose a larger 'size' or 'spacing', or 'fit: pad'")]
