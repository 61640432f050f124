"""Checks of the section `augment` against the cohort: what cannot be changed, or not alike, is refused."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from fusionkit.data.augmentation import MIXUP, TOGETHER, Augmentation
from fusionkit.data.case_files import Checked
from fusionkit.data.description import DataDescription
from fusionkit.data.findings import Findings
from fusionkit.data.label_maps import labelled
from fusionkit.data.laterality import check_sides
from fusionkit.data.readers.columns import Categories
from fusionkit.data.signature import HeadTarget
from fusionkit.errors import Diagnostic


@dataclass(frozen=True, slots=True)
class SeenInputs:
    """The inputs that the network reads: their sizes, those with several items or tokens for a case, the files by input
    and row, and the categories of columns.
    """

    sizes: Mapping[str, Sequence[int]]
    masked: Collection[str]
    checked: Mapping[tuple[str, int], Checked]
    layouts: Mapping[str, Categories]


def check_augmentation(description: DataDescription, inputs: SeenInputs, heads: Mapping[str, HeadTarget],
                       ids: Sequence[str], findings: Findings) -> None:
    """What training changes can be changed, moves alike where it is to, and is not contradicted by the table."""
    _check_together(description, inputs.checked, ids, findings)
    _check_changed(description, inputs.sizes, inputs.masked, checked=inputs.checked, findings=findings)
    check_sides(description, inputs.layouts, heads, findings)
    _check_mixup(description, inputs, heads, findings)


def _check_mixup(description: DataDescription, inputs: SeenInputs, heads: Mapping[str, HeadTarget],
                 findings: Findings) -> None:
    """`mixup-refused`: inputs and targets of which there is no mean of two cases."""
    if description.augmentation is None or description.augmentation.mixup is None:
        return
    columns = {name: description.inputs[name].options for name in inputs.layouts}
    coded = [(name, f"encodes {options.categorical[0]!r} as a code, and the mean of two codes is a third category",
              f"write 'encode: onehot' on input {name!r}") for name, options in columns.items()
             if options.categorical and options.encode == "codes"]
    several = [(name, "has another number of tokens or items for every case", "remove 'mixup'")
               for name in inputs.masked]
    times = [(name, "predicts by columns of its own, of which there is no mean", "remove 'mixup'")
             for name, head in heads.items() if head.declared_task.keys]
    for name, why, fix in (*coded, *several, *times):
        findings.add(Diagnostic("mixup-refused", f"'mixup' cannot join cases by {name!r}",
                                description.span("augment", MIXUP), why=f"{name!r} {why}", fix=fix))


def _check_changed(description: DataDescription, sizes: Mapping[str, Sequence[int]], masked: Collection[str], *,
                   checked: Mapping[tuple[str, int], Checked], findings: Findings) -> None:
    """`not-an-image`, `not-colour`, `label-map-changed`: inputs that `augment` names and cannot change."""
    labels = labelled(description.inputs, {place: file.facts for place, file in checked.items()})
    made = description.augmentation or Augmentation()
    for name in dict.fromkeys((*made.inputs, *(each for group in made.together for each in group))):
        span = description.span("augment", name if name in made.inputs else TOGETHER)
        if not description.inputs[name].source.files:
            _check_blank(description, name, made, findings)
            continue
        bag = description.inputs[name].bag
        # Of a bag the first size is the number of items.
        own = sizes.get(name, ()) if bag is None else sizes.get(name, ())[1:]
        unbagged = bag is None and name in masked
        if unbagged or (name in sizes and len(own) not in (3, 4)):
            what = ("several tokens or items for a case" if unbagged else
                    f"{'arrays' if bag is None else 'items'} of {len(own)} axes")
            findings.add(Diagnostic(
                "not-an-image", f"'augment' names {name!r}, which has {what}", span,
                why="an image or a volume of a case can be changed, and those that 'read: bag' reads", fix=
                "save its images one a file and write 'read: bag', or remove it" if unbagged and len(own) > 3 else
                "remove it"))
            continue
        neighbours = 1 if bag is None else bag.neighbours
        for chosen in made.inputs.get(name, ()):
            wanted = chosen.declared.channels
            if wanted is not None and own and (own[0] != wanted or neighbours > 1):
                channels = own[0] if neighbours == 1 else f"those of {neighbours} slices"
                findings.add(Diagnostic(
                    "not-colour", f"{chosen.declared.id} changes {wanted} channels; {name!r} has {channels}",
                    span, why="it is made for colours" if wanted == 3 else None,
                    fix=f"write '{chosen.declared.name}: off' on {name!r} beside the preset, or remove it"))
        changing = [chosen.declared.name for chosen in made.inputs.get(name, ()) if chosen.declared.acts == "intensity"]
        if name in labels and changing:
            findings.add(Diagnostic(
                "label-map-changed", f"'augment' changes the values of {name!r}, whose files seem to hold labels", span,
                why=f"{', '.join(changing)} would make other labels of them; labels may be moved alone",
                fix=(f"name it under '{TOGETHER}' alone, beside its image" if bag is None else
                     "leave those that move") + f", or write 'interpolate: linear' on input {name!r} if its values are "
                "intensities"))


def _check_blank(description: DataDescription, name: str, made: Augmentation, findings: Findings) -> None:
    """`blank-number`: cells that become blank, where blank numbers are refused."""
    options = description.inputs[name].options
    if options.fill == "refuse" and options.measured and any(each.declared.name == "blank" for each in
                                                             made.inputs[name]):
        findings.add(Diagnostic(
            "blank-number", f"'augment' makes cells of {name!r} blank, where numbers may not be",
            description.span("augment", name), why="nothing says what a blank number is",
            fix=f"give input {name!r} 'fill: mean', 'median' or 'indicator', or remove 'blank'"))


def _check_together(description: DataDescription, checked: Mapping[tuple[str, int], Checked], ids: Sequence[str],
                    findings: Findings) -> None:
    """`grids-differ`: inputs that move together and share no place, or that do not tell where they are and differ in
    size; reported once a pair.
    """
    for first, *others in description.augmentation.together if description.augmentation else ():
        for name in others:
            for (_, row), found in sorted(checked.items()):
                own = checked.get((first, row))
                if checked.get((name, row)) is not found or own is None:
                    continue
                fault = _apart(own, found)
                if fault is not None:
                    said, why, fix = fault
                    findings.add(Diagnostic(
                        "grids-differ", f"{first!r} and {name!r} of case {ids[row]!r} {said}",
                        description.span("augment", TOGETHER), why=why, fix=fix))
                    break


def _apart(first: Checked, other: Checked) -> tuple[str, str, str] | None:
    """What keeps two arrays of a case from moving alike: what they are, why that matters, and the fix."""
    own, its = first.facts.outcome_grid, other.facts.outcome_grid
    if own is not None and its is not None:
        lows, highs = zip(*((grid.corners.min(0), grid.corners.max(0)) for grid in (own, its)), strict=True)
        gap = float((np.maximum(*lows) - np.minimum(*highs)).max())
        return None if gap < 0 else (
            f"lie {gap:.4g} mm apart", "inputs that move together move about one point of the body",
            "check that the files are of one examination and one frame of reference, or let each move by itself")
    sizes = [" x ".join(map(str, each.shape[1:])) for each in (first, other)]
    if sizes[0] == sizes[1]:
        return None
    return (f"are {sizes[0]} and {sizes[1]}", "the files of one do not tell where its voxels are, so both must have "
            "the same ones", "resample one to the size of the other, or let each move by itself")
