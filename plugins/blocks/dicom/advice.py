"""Warnings about the DICOM files of one input: units other than those a window assumes, directions, bits, palettes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from fusionkit_plugins.blocks.dicom.headers import Slice
from fusionkit_plugins.blocks.dicom.pixels import Pixels
from fusionkit_plugins.blocks.dicom.values import ValueRules

from fusionkit.reading import (
    Advice,
    Facts,
    constant,
    count,
    grouped,
    label_maps,
    ranges,
    several,
    shown_range,
    spacings,
    spread,
)

# Modalities of radiographs, which depend on the detector only.
_PROJECTIONS = frozenset({"CR", "DX", "RG", "RF", "XA"})
_LUNG_OR_AIR = -500.0  # HU; a CT that reaches the skin or the lungs has values below


def facts_of(slices: Sequence[Slice], pixels: Pixels, rules: ValueRules) -> Facts:
    """Facts about one file or series, from its slices."""
    first = slices[0]
    values = spread(pixels.values)
    remarks = []
    if first.modality == "CT":
        doubt = _doubt_about_hounsfield(slices, values[0], rules)
        remarks += [("not-hu", doubt)] if doubt else []
    if pixels.in_tissue:
        remarks.append(("padding-in-tissue", str(pixels.in_tissue)))
    if any(item.rescaled and item.slope == 0.0 for item in slices):
        remarks.append(("slope-zero", "RescaleSlope is 0"))
    modality = "radiograph" if first.modality in _PROJECTIONS else first.modality
    return Facts(values=values, modality=modality, units=_units(first, rules), bits=pixels.bits, palette=first.palette,
                 pixel=first.spacing or (), remarks=tuple(remarks))


def _units(item: Slice, rules: ValueRules) -> str:
    """The unit of the values, empty if the header names none."""
    if item.modality == "PT":
        return item.units
    return "HU" if rules.in_hounsfield(item) else item.rescale_type.replace("US", "")


def _doubt_about_hounsfield(slices: Sequence[Slice], least: float, rules: ValueRules) -> str:
    without = sum(not item.rescaled for item in slices)
    if without and not rules.told:
        return "have neither RescaleSlope nor RescaleIntercept"
    odd = {item.rescale_type for item in slices} - {"", "HU"}
    if odd:
        return f"have the RescaleType {min(odd)}"
    return "have no value below -500, as air and lungs have" if least > _LUNG_OR_AIR and not without else ""


def of_files(options: Any, files: Sequence[Facts]) -> list[Advice]:
    """Warnings about the files of one input."""
    found = [*_not_hounsfield(options, files), *_not_suv(options, files), *_padding(files), *_orientations(files),
             *spacings(files, options.size is not None),
             *label_maps(options, files), *_palettes(files)]
    depths = _bits(files) if options.form == "image" and options.scale != "bits" else []
    in_units = [facts.modality for facts in files].count("CT") == len(files)
    return [*found, *(depths or ([] if in_units or options.scale == "bits" else ranges(files))), *constant(files)]


def _not_hounsfield(options: Any, files: Sequence[Facts]) -> list[Advice]:
    doubts: dict[str, list[int]] = {}
    for place, facts in enumerate(files):
        if doubt := facts.remark("not-hu"):
            doubts.setdefault(doubt, []).append(place)
    if not doubts:
        return []
    cases = tuple(sorted(place for places in doubts.values() for place in places))
    why = "; ".join(f"{len(places)} {doubt}, with values {shown_range(files, places)}"
                    for doubt, places in doubts.items())
    rest = [place for place, facts in enumerate(files) if facts.modality == "CT" and place not in cases]
    why += f"; the other {len(rest)} have values {shown_range(files, rest)}" if rest else ""
    missing = any("neither" in doubt for doubt in doubts)
    fix = ("write 'rescale: {intercept: -1024}' with the intercept that these files lack, or 'rescale: {intercept: 0}' "
           "if they are already in HU" if missing else "check that 'window' is in the units of these files")
    return [Advice("not-hu", f"{count(cases, files)} are CT images whose values may not be in HU", cases, why,
                   fix)]


def _not_suv(options: Any, files: Sequence[Facts]) -> list[Advice]:
    cases = tuple(place for place, facts in enumerate(files) if facts.modality == "PT" and facts.units != "GML")
    if not cases:
        return []
    units = grouped({place: files[place].units or "no Units" for place in cases})
    shown = " and ".join("[{:g}, {:g}]".format(*each) for each in several(options.window))
    window = f"; the window is {shown}" if shown else ""
    return [Advice("not-suv", f"{count(cases, files)} are PET images whose values are not SUV: {units}", cases,
                   f"the values are {shown_range(files, cases)}{window}; in Bq/ml they depend on dose and weight",
                   "convert the series to SUV (g/ml), or give 'window' in the units of the files")]


def _padding(files: Sequence[Facts]) -> list[Advice]:
    cases = tuple(place for place, facts in enumerate(files) if facts.remark("padding-in-tissue"))
    if not cases:
        return []
    voxels = sum(int(files[place].remark("padding-in-tissue") or 0) for place in cases)
    return [Advice("padding-in-tissue", f"{count(cases, files)} have a padding value that is the HU of a tissue", cases,
                   f"{voxels} voxels with it were replaced by air", "write 'clean: keep' if they belong to the image")]


def _orientations(files: Sequence[Facts]) -> list[Advice]:
    codes = {place: facts.orientation for place, facts in enumerate(files) if facts.orientation}
    if len(set(codes.values())) < 2:
        return []
    usual = max(set(codes.values()), key=lambda code: (list(codes.values()).count(code), code))
    return [Advice("orientations-differ", f"its series lie in different directions: {grouped(codes)}",
                   tuple(place for place, code in codes.items() if code != usual),
                   "the letters are the directions of width, height and depth (Left, Right, Anterior, "
                   "Posterior, Superior, Inferior); volumes are not reoriented, so an organ is elsewhere in the array",
                   "keep series of one orientation, or convert them to NIfTI, which is reoriented to one orientation")]


def _bits(files: Sequence[Facts]) -> list[Advice]:
    depths = {place: f"{facts.bits} bits" for place, facts in enumerate(files) if facts.bits}
    if len(set(depths.values())) < 2:
        return []
    least = min(facts.bits for facts in files if facts.bits)
    cases = tuple(place for place, facts in enumerate(files) if facts.bits == least)
    rest = [place for place in depths if place not in cases]
    return [Advice("ranges-differ", f"its images store different numbers of bits: {grouped(depths)}", cases,
                   f"values are {shown_range(files, cases)} in those of {least} bits, {shown_range(files, rest)} in "
                   "the others, and no single window fits both",
                   "write 'scale: bits', which scales each image by its own bits, or convert the files to one range")]


def _palettes(files: Sequence[Facts]) -> list[Advice]:
    palettes = {place: facts.palette for place, facts in enumerate(files)}
    if len(set(palettes.values())) < 2:
        return []
    order = list(dict.fromkeys(palettes.values()))
    named = {place: f"palette {order.index(found) + 1}" if found else "no palette" for place, found in palettes.items()}
    return [Advice("palettes-differ", f"its images have different colours for the same stored value: {grouped(named)}",
                   tuple(place for place, found in palettes.items() if found != palettes[0]),
                   "a palette maps measured values to colours, and another palette maps them to other colours",
                   "use images with one palette, or export the values behind the colours")]
