"""Warnings about the DICOM files of one input: units other than those a window assumes, directions, bits, palettes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from fusionkit_plugins.blocks.dicom.headers import Slice
from fusionkit_plugins.blocks.dicom.pixels import Pixels
from fusionkit_plugins.blocks.dicom.suv import SUV
from fusionkit_plugins.blocks.dicom.values import ValueRules

from fusionkit.reading import (
    Advice,
    Facts,
    constant,
    count,
    grouped,
    label_maps,
    ranges,
    remarked,
    several,
    shown_range,
    spacings,
    spread,
    window_of_ct,
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
    remarks += pixels.remarks
    if any(item.rescaled and item.slope == 0.0 for item in slices):
        remarks.append(("slope-zero", "RescaleSlope is 0"))
    if first.spacing is None and first.detector_spacing is not None:
        remarks.append(("detector-spacing", ""))
    modality = "radiograph" if first.modality in _PROJECTIONS else first.modality
    return Facts(values=values, modality=modality, units=_units(first, rules), bits=pixels.bits, palette=first.palette,
                 pixel=first.spacing or first.detector_spacing or (), remarks=tuple(remarks))


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
    found = [*_not_hounsfield(options, files), *window_of_ct(options, files), *_not_suv(options, files),
             *_doubtful_times(files),
             *_without_scale(options, files), *_not_to_be_shown(files), *_chosen(files),
             *_at_the_detector(options, files),
             *_padding(files), *_orientations(files),
             *spacings(files, options.size is not None),
             *label_maps(options, files), *_palettes(files)]
    depths = _bits(files) if options.form != "volume" and options.keeps_bits else []
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
    cases = tuple(place for place, facts in enumerate(files)
                  if facts.modality == "PT" and facts.units not in ("GML", SUV))
    if not cases:
        return []
    units = grouped({place: files[place].units or "no Units" for place in cases})
    shown = " and ".join("[{:g}, {:g}]".format(*each) for each in several(options.window))
    window = f"; the window is {shown}" if shown else ""
    return [Advice("not-suv", f"{count(cases, files)} are PET images whose values are not SUV: {units}", cases,
                   f"the values are {shown_range(files, cases)}{window}; in Bq/ml they depend on dose and weight",
                   "write 'unit: suv', or give 'window' in the units of the files")]


def _doubtful_times(files: Sequence[Facts]) -> list[Advice]:
    """`suv-dates`, `suv-reference-time`: PET whose times are not read as they are written, or disagree."""
    found = []
    if cases := remarked(files, "suv-dates"):
        found.append(Advice("suv-dates", f"{count(cases, files)} are PET whose injection is not on the day of the scan",
                            cases, "the time of day is used: removing identities shifts dates, and leaves this one",
                            "check the injection times if this is not why"))
    if cases := remarked(files, "suv-reference-time"):
        found.append(Advice("suv-reference-time", f"{count(cases, files)} are PET whose decay factors belong to "
                            "another time than the one that SUV is computed for", cases,
                            "DecayFactor and ActualFrameDuration say how long after it each slice was taken, within a "
                            "minute", "compare the SUV of these cases with those that the scanner shows"))
    return found


def _without_scale(options: Any, files: Sequence[Facts]) -> list[Advice]:
    """`mr-scale`: MR whose values are used as they are, without the data file saying so."""
    cases = tuple(place for place, facts in enumerate(files) if facts.modality == "MR")
    if not cases or options.normalise is not None:
        return []
    return [Advice("mr-scale", f"{count(cases, files)} are MR, whose values have no unit", cases,
                   f"the values are {shown_range(files, cases)}; one tissue has other values in another scanner",
                   "write 'normalise: zscore', 'percentile' or 'nyul', or 'normalise: none' for values with a scale of "
                   "their own, such as maps of diffusion")]


def _not_to_be_shown(files: Sequence[Facts]) -> list[Advice]:
    """`for-processing`, `burned-in-annotation`: pictures of raw detector values; those with text in them."""
    found = []
    if cases := remarked(files, "for-processing"):
        found.append(Advice("for-processing", f"{count(cases, files)} are FOR PROCESSING: values of the detector",
                            cases, "they are neither logarithmic nor balanced, as those for presentation are",
                            "use the images FOR PRESENTATION, or 'normalise: percentile'"))
    if cases := remarked(files, "burned-in-annotation"):
        found.append(Advice("burned-in-annotation", f"{count(cases, files)} have text in the picture", cases,
                            "BurnedInAnnotation is YES: it may name the patient, and a network may learn from it",
                            "cut or cover the text; 'region: first' does so for ultrasound"))
    return found


def _chosen(files: Sequence[Facts]) -> list[Advice]:
    """`chosen-differ`: a rule that takes thin slices in one case and thick ones, or another kernel, in the next."""
    kinds = {place: kind for place, facts in enumerate(files) if (kind := facts.remark("chosen"))}
    if len(set(kinds.values())) < 2:
        return []
    usual = max(set(kinds.values()), key=lambda kind: (list(kinds.values()).count(kind), kind))
    return [Advice("chosen-differ", f"'choose' took series of several kinds: {grouped(kinds)}",
                   tuple(place for place, kind in kinds.items() if kind != usual),
                   "a network can tell thickness and kernel, and with them the scanner or the hospital",
                   "add 'thickness', 'kernel' or 'orientation' to 'choose', if one kind is there in all cases")]


def _at_the_detector(options: Any, files: Sequence[Facts]) -> list[Advice]:
    """`detector-spacing`: pictures resampled by the size of a pixel at the detector, not in the patient."""
    cases = remarked(files, "detector-spacing")
    if not cases or options.spacing is None:
        return []
    return [Advice("detector-spacing", f"{count(cases, files)} say the size of a pixel at the detector alone", cases,
                   "there is no PixelSpacing, and the patient is magnified by an unknown factor: ImagerPixelSpacing is "
                   "used", "use 'size' without 'spacing', if that is too far from the truth")]


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
                   "Posterior, Superior, Inferior); an organ is elsewhere in the array of another direction",
                   "write 'orient: LPS', which turns all series one way, or keep series of one orientation")]


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
