"""Which labels of a file a mask is made of: by name, in which `*` and `?` stand for any text, or by number."""

from __future__ import annotations

from collections.abc import Mapping
from fnmatch import fnmatchcase

import numpy as np
from fusionkit_plugins.blocks.masks.share import Share
from numpy.typing import NDArray

from fusionkit.reading import Grid, ReadError

Wanted = str | int | tuple[str | int, ...] | None
"""One label, several that are united, or none named."""
_SHOWN = 20


def chosen(wanted: Wanted, names: Mapping[int, str]) -> list[int]:
    """The numbers of the labels that are wanted, by the names of all that the file holds.

    Raises: `ReadError` with `unknown-label`, or `several-labels` where none is named and the file has several.
    """
    if wanted is None:
        if len(names) > 1:
            raise ReadError("several-labels", f"it has {len(names)} labels", f"they are {_listed(names)}",
                            f"choose by 'label: {next(iter(names.values()))}', or a list of which all are taken")
        return list(names)
    found: list[int] = []
    for each in wanted if isinstance(wanted, tuple) else (wanted,):
        fitting = [number for number, name in names.items() if _fits(name, each)]
        fitting = fitting or [number for number in names if str(number) == str(each)]
        if not fitting:
            raise ReadError("unknown-label", f"it has no label {each!r}", f"its labels are {_listed(names)}",
                            "correct 'label'")
        found += fitting
    return list(dict.fromkeys(found))


def of_label_map(values: NDArray[np.float32], grid: Grid | None, wanted: Wanted) -> Share:
    """The mask in a volume of whole numbers; without a label all that is not 0, and shares of voxels as they are.

    Raises: `ReadError` with `unknown-label` for a name, `not-labels` for other numbers than labels or shares.
    """
    if wanted is None:
        whole = bool((values == np.floor(values)).all())
        if not whole and (values.min() < 0 or values.max() > 1):
            raise ReadError("not-labels", f"its values run from {values.min():g} to {values.max():g}, with fractions",
                            "a mask holds labels, whole numbers, or what it covers of each voxel, 0 to 1",
                            "check that the path leads to the mask, and not to the image")
        return Share((values != 0).astype(np.float32) if whole else values, grid)
    numbers = []
    for each in wanted if isinstance(wanted, tuple) else (wanted,):
        if not str(each).lstrip("-").isdigit():
            labels = np.unique(values)
            shown = ", ".join(f"{label:g}" for label in labels[:_SHOWN]) + (", ..." if len(labels) > _SHOWN else "")
            raise ReadError("unknown-label", f"it has no label {each!r}", f"it is a map of numbers: {shown}",
                            "give the number of the label")
        numbers.append(int(each))
    return Share(np.isin(values, numbers).astype(np.float32), grid)


def _fits(name: str, wanted: str | int) -> bool:
    if not isinstance(wanted, str):
        return False
    one, other = name.strip().casefold(), wanted.strip().casefold()
    return one == other or fnmatchcase(one, other.replace("[", "[[]"))


def _listed(names: Mapping[int, str]) -> str:
    shown = [f"{number} {name!r}" for number, name in names.items()]
    return (", ".join(shown[:_SHOWN]) + (", ..." if len(shown) > _SHOWN else "")) or "none"
