"""Warnings about the files of one input taken together, such as inconsistent or constant files."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from fusionkit.data.readers.facts import Facts

_SHOWN = 4
_SAME_SPACING = 1.1
_OTHER_SCALE = 10.0


@dataclass(frozen=True, slots=True)
class Advice:
    """A warning about one input; `cases` are the positions of the affected files, none if no case is."""

    code: str
    message: str
    cases: tuple[int, ...] = ()
    why: str | None = None
    fix: str | None = None


def constant(files: Sequence[Facts]) -> list[Advice]:
    """`constant-input`: files that are constant everywhere; files that are all identical."""
    flat = tuple(place for place, facts in enumerate(files) if facts.outcome[0] == facts.outcome[1])
    if flat:
        met = sorted({files[place].outcome[0] for place in flat})
        shown = ", ".join(f"{value:g}" for value in met[:4]) + (", ..." if len(met) > 4 else "")
        before = [files[place].values for place in flat]
        low, high = min(values[0] for values in before), max(values[2] for values in before)
        zero = next((files[place].remark("slope-zero") for place in flat if files[place].remark("slope-zero")), None)
        why = zero or ("the files themselves are constant" if all(values[0] == values[2] for values in before) else
               f"the values of the files run from {low:g} to {high:g} before the window")
        return [Advice("constant-input", f"{count(flat, files)} have one value everywhere ({shown})", flat, why,
                       "check the files and 'window'; an input that never varies carries no information")]
    if len(files) > 1 and len({facts.digest for facts in files}) == 1:
        return [Advice("constant-input", f"it is the same in all {len(files)} cases", (0,),
                       "an input that never varies carries no information",
                       "check 'path': it should lead to a different file for each case")]
    return []


def count(cases: Sequence[int], files: Sequence[Facts]) -> str:
    """How many of the cases, as text."""
    return f"{len(cases)} of {len(files)} cases"


def remarked(files: Sequence[Facts], code: str) -> tuple[int, ...]:
    """The places of the files with a remark."""
    return tuple(place for place, facts in enumerate(files) if facts.remark(code) is not None)


def grouped(found: Mapping[int, str]) -> str:
    """The texts with their counts, the most frequent first."""
    counts = Counter(found.values()).most_common()
    shown = ", ".join(f"{text} in {number}" for text, number in counts[:_SHOWN])
    return shown + (f" and {len(counts) - _SHOWN} more" if len(counts) > _SHOWN else "")


def shown_range(files: Sequence[Facts], cases: Sequence[int]) -> str:
    """The smallest and the largest value of some files, before a window."""
    low, high = min(files[place].values[0] for place in cases), max(files[place].values[2] for place in cases)
    return f"from {low:g} to {high:g}"


def spacings(files: Sequence[Facts], resized: bool) -> list[Advice]:
    """`spacings-differ`: voxels whose edges differ by more than a tenth between cases."""
    known = {place: facts.spacing for place, facts in enumerate(files) if len(facts.spacing) == 3}
    axes = [[sizes[axis] for sizes in known.values() if sizes[axis] > 0] for axis in range(3)]
    ratios = [max(axis) / min(axis) if axis else 1.0 for axis in axes]
    if max(ratios) <= _SAME_SPACING:
        return []
    texts = {place: " x ".join(f"{size:.3g}" for size in sizes if size > 0) + " mm" for place, sizes in known.items()}
    usual = Counter(texts.values()).most_common(1)[0][0]
    each = ", ".join(f"{name} {min(axis):.3g} to {max(axis):.3g} mm" for name, axis in zip(
        ("depth", "height", "width"), axes, strict=True) if axis)
    why = ("'size' gives every volume the same number of voxels, whatever their spacing: the same organ is up to "
           f"{max(ratios):.1f} times larger in one array than in another" if resized else
           "a voxel covers a different volume of the body in each case")
    return [Advice("spacings-differ", f"its voxels have different sizes (depth x height x width): {grouped(texts)}",
                   tuple(place for place, text in texts.items() if text != usual), f"{each}; {why}",
                   "write 'spacing: [DEPTH, HEIGHT, WIDTH]' in mm, to which every volume is resampled")]


def ranges(files: Sequence[Facts]) -> list[Advice]:
    """`ranges-differ`: two groups of files, of which one has values ten times larger, and none lies between.

    Without the gap nothing is wrong: cubes of bone and of fat in one unit differ as much, with all that lies between.
    """
    sizes = {place: facts.values[1] for place, facts in enumerate(files) if facts.values[1] > 0 and not facts.labels}
    rising = sorted(sizes.values())
    gap = max(range(1, len(rising)), key=lambda place: rising[place] / rising[place - 1], default=0)
    if not gap or rising[gap] < _OTHER_SCALE * rising[gap - 1]:
        return []
    small = tuple(place for place, size in sizes.items() if size < rising[gap])
    return [Advice("ranges-differ", f"the values of {count(small, files)} are more than {_OTHER_SCALE:g} times smaller "
                   "than those of others", small,
                   f"99 % of the values stay below {rising[gap - 1]:g} in all of these, and in none of the others "
                   f"below {rising[gap]:g}", "check the units of the files, and convert them to one scale")]


def label_maps(options: Any, files: Sequence[Facts]) -> list[Advice]:
    """`label-map`: files that look like label maps and are resampled, if the data file does not state how."""
    cases = tuple(place for place, facts in enumerate(files) if facts.labels)
    kept = options.size is None and options.spacing is None and options.like is None
    if not cases or kept or options.interpolate != "auto":
        return []
    met = sorted({label for place in cases for label in files[place].labels})
    shown = ", ".join(f"{label:g}" for label in met[:8]) + (", ..." if len(met) > 8 else "")
    return [Advice("label-map", f"{count(cases, files)} look like label maps (values {shown})", cases,
                   "they are resampled by label, since the labels 1 and 3 must not be averaged to 2",
                   "write 'interpolate: labels' to confirm this, or 'interpolate: linear' for intensities")]
