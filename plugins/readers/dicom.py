"""DICOM: a series folder as one volume in HU, or a single file as one picture.

Slices are sorted by their position along the normal and rescaled each by its own slope and intercept. A folder that
is not one volume is refused with the reason; docs/dicom.md lists what is accepted.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from fusionkit_plugins.blocks.dicom.advice import facts_of, of_files
from fusionkit_plugins.blocks.dicom.archive import is_archive, members
from fusionkit_plugins.blocks.dicom.conditions import fits, words
from fusionkit_plugins.blocks.dicom.elements import shown
from fusionkit_plugins.blocks.dicom.film import as_film, frames_of
from fusionkit_plugins.blocks.dicom.headers import Slice, find_files, is_skipped, open_dataset, quiet, read_slices
from fusionkit_plugins.blocks.dicom.options import DicomOptions, Rescale
from fusionkit_plugins.blocks.dicom.pixels import PictureRules, read_picture, read_stack
from fusionkit_plugins.blocks.dicom.series import (
    check_image,
    choose_series,
    choose_stack,
    even_places,
    grid_of,
    ordered,
    upright,
)
from fusionkit_plugins.blocks.dicom.stacks import Stack, choose, elements_of, stacks_of
from fusionkit_plugins.blocks.dicom.suv import in_suv
from fusionkit_plugins.blocks.dicom.values import AIR_HU, ValueRules
from numpy.typing import NDArray

from fusionkit.api import Reader
from fusionkit.reading import MAX_VALUES, Advice, Facts, Grid, Onto, ReadError, Sizes, intensities, labels_of, window

# Up to this size a folder is read in one pass; above it, headers are read first, and then the chosen series' pixels.
_READ_ONCE_BYTES = 128 << 20


def shape(options: DicomOptions) -> Sizes:
    """The sizes that follow from the options: (1, D, H, W) of a volume, (C, H, W) of an image, (C, D, H, W) of a film.
    """
    if options.form == "volume":
        return (options.window_channels or 1, *(options.size or (None, None, None)))
    if options.form == "film":
        return (options.window_channels, *(options.size or (None, None, None)))
    return (options.window_channels, *(options.size or (None, None)))


def advise(options: DicomOptions, files: Sequence[Facts]) -> list[Advice]:
    """Warnings about the files of one input taken together."""
    return of_files(options, files)


def read(path: Path, options: DicomOptions) -> NDArray[np.float32]:
    """Only the array of `examine`."""
    return examine(path, options)[0]


def examine(path: Path, options: DicomOptions) -> tuple[NDArray[np.float32], Facts]:
    """The volume of a series folder (or of one file), or the picture of a file.

    Shapes: (1, D, H, W) with D along the slice normal; (1, H, W) or (3, H, W) for `form: image`; (1, D, H, W) or
    (3, D, H, W) for `form: film`, D being its frames; a channel for each of several windows.
    Units: those after slope and intercept of the header (HU for CT); 0..1 with a window.
    Raises: `ReadError`; its codes start with `dicom-` and are listed on docs/dicom.md.
    """
    told = options.rescale or Rescale()
    rules = ValueRules(options.clean == "air", told.slope, told.intercept, options.rescale is not None)
    files = find_files(path, options.below)
    keep = options.choose is None and sum(file.stat().st_size for file in files) <= _READ_ONCE_BYTES
    slices = [item for file in files for item in _slices(file, keep, elements_of(options.choose))]
    found = None if options.choose is None else choose(stacks_of(slices), options.choose,
                                                       volume=options.form == "volume")
    values, facts = _volume(slices, found, options, rules) if options.form == "volume" else _picture(
        slices if found is None else found.slices, options, rules)
    if found is not None:
        chosen = (("series", found.head.series), ("chosen", found.kind))
        facts = replace(facts, remarks=(*facts.remarks, *chosen))
    if options.as_stored and options.keeps_bits and facts.modality != "CT":
        facts = replace(facts, labels=labels_of(values))
    return intensities(values, facts, options)


def headers(path: Path, options: DicomOptions, names: Sequence[str]) -> dict[str, str]:
    """The texts of elements of the series that `examine` would read; of its first file.

    Raises: `ReadError` as `examine`, for what headers alone tell.
    """
    also = (*names, *elements_of(options.choose))
    slices = [item for file in find_files(path, options.below) for item in _slices(file, False, also)]
    if options.choose is not None:
        slices = choose(stacks_of(slices), options.choose, volume=options.form == "volume").slices
    else:
        slices = choose_series(slices, None if options.series is None else str(options.series))
    return {name: slices[0].header.get(name, "") for name in names}


def _slices(file: Path, keep: bool, also: Sequence[str]) -> Iterator[Slice]:
    """The slices of a file, or of all files in an archive."""
    if not is_archive(file):
        yield from read_slices(file, keep, also)
        return
    for name, packed in members(file):
        if not is_skipped(file / name):
            yield from read_slices(file / name, True, also, packed)


def _volume(slices: list[Slice], found: Stack | None, options: DicomOptions, rules: ValueRules
            ) -> tuple[NDArray[np.float32], Facts]:
    series = choose_series(slices, None if options.series is None else str(options.series)) if found is None else [
        item for item in slices if item.series == found.head.series]
    chosen = choose_stack(series if found is None else found.slices,
                          {name: str(value) for name, value in (options.stack or {}).items()})
    stack = ordered(chosen, options.tilt != "refuse", options.gaps == "resample")
    _check_required(stack[0], options)
    stack, remarks = in_suv(stack, series, options.weight, rules) if options.unit == "suv" else (stack, ())
    pixels = read_stack(stack, rules)
    values = pixels.values[None]
    if options.gaps == "resample" and len(stack) > 1:
        values = _between(values, even_places(stack))
    facts = facts_of(stack, pixels, rules)
    grid = grid_of(stack, values.shape[1])
    if options.tilt == "resample" and (target := upright(grid)) is not None:
        _refuse_too_large(target)
        values, grid = Onto(grid, target)(values, [AIR_HU if rules.in_hounsfield(stack[0]) else 0.0]), target
    drawn_on = options.roi is not None and isinstance(options.roi.box, str) and len(stack) == values.shape[1]
    if drawn_on and options.tilt != "resample" and options.gaps != "resample":
        facts = replace(facts, slices=tuple(item.instance for item in stack))
    facts = replace(facts, pixel=(), grid=grid, frame_of_reference=stack[0].frame_of_reference,
                    remarks=(*facts.remarks, *remarks))
    return values.astype(np.float32, copy=False), facts


def _refuse_too_large(grid: Grid) -> None:
    if math.prod(grid.shape) > MAX_VALUES:
        raise ReadError("dicom-too-large", f"would be resampled to {' x '.join(map(str, grid.shape))} voxels",
                        f"more than {MAX_VALUES} values are not read", "write 'tilt: keep'")


def _between(values: NDArray[np.float32], places: NDArray[np.float64]) -> NDArray[np.float32]:
    """Slices at places between those that are there, by linear interpolation."""
    below = np.floor(places).astype(np.int64)
    above, part = np.minimum(below + 1, values.shape[1] - 1), (places - below).astype(np.float32)[:, None, None]
    return values[:, below] * (1 - part) + values[:, above] * part


def _check_required(item: Slice, options: DicomOptions) -> None:
    for keyword, wanted in (options.require or {}).items():
        with quiet:
            found = shown(item.dataset or open_dataset(item.path, pixels=False), keyword)
        if not fits(found, wanted):
            raise ReadError("dicom-not-required", f"{item.name} has {keyword} {found or 'missing'!r}",
                            f"'require' asks for {words(wanted)}", "leave the case out, or correct 'require'")


def _picture(slices: list[Slice], options: DicomOptions, rules: ValueRules) -> tuple[NDArray[np.float32], Facts]:
    if len(slices) != 1:
        fix = "give one file in 'path', or read the series with 'form: volume'"
        raise ReadError("dicom-not-one-image", f"contains {len(slices)} planes, not one picture", None, fix)
    check_image(slices[0])
    if slices[0].frames > 1 and options.frames is None and options.form == "image":
        message = f"{slices[0].name} contains {slices[0].frames} frames, not one picture"
        raise ReadError("dicom-multiframe", message, None,
                        "read all of them with 'form: film', or choose by 'frames', such as 'frames: first'")
    _check_required(slices[0], options)
    places, times = frames_of(slices[0], options.every) if options.form == "film" else (options.frames, ())
    how = PictureRules(options.voi, options.laterality, options.region is not None, places)
    pixels = read_picture(slices[0], rules, how)
    if isinstance(places, list) and options.form == "film":
        pixels = replace(pixels, values=as_film(pixels.values, len(places)))
    facts = replace(facts_of(slices, pixels, rules), positions=times)
    return (window(pixels.values, *pixels.range) if options.scale == "bits" else pixels.values), facts


def sample(folder: Path) -> Path:
    """A CT series of three slices of 5 x 7 pixels."""
    from fusionkit_plugins.blocks.dicom.sample import write_series

    write_series(folder / "series")
    return folder / "series"


component = Reader("dicom", DicomOptions, examine, category="volume", shape=shape, advise=advise, folders=True,
                   sample=sample, headers=headers)
