"""Values of interest: from the values of a radiograph to those that are shown, by a table or a window of its header.

Source: DICOM PS3.3 C.11.2.1 (VOI LUT, window centre and width, and the functions LINEAR, LINEAR_EXACT and SIGMOID).
"""

from __future__ import annotations

from typing import Any

import numpy as np
from fusionkit_plugins.blocks.dicom.elements import shown
from fusionkit_plugins.blocks.dicom.headers import Slice
from fusionkit_plugins.blocks.dicom.values import Plane, is_little, lookup_table
from numpy.typing import NDArray

from fusionkit.reading import ReadError


def shown_values(plane: Plane, dataset: Any, item: Slice, choice: str | int) -> NDArray[np.float32]:
    """The values as the header shows them, from 0 to 1, not inverted.

    `choice` is `header` for the first table or else the first window, or which of several: its number, counted from 0,
    or its explanation.
    Shapes: (H, W). Raises: `ReadError` (dicom-no-voi, dicom-unknown-voi, dicom-bad-header).
    """
    tables = list(dataset.get("VOILUTSequence") or []) if "VOILUTSequence" in dataset else []
    windows = _windows(dataset, item)
    if not tables and not windows:
        why = ("images FOR PROCESSING are not meant to be shown: take the logarithm, or 'normalise: percentile'"
               if shown(dataset, "PresentationIntentType") == "FOR PROCESSING" else None)
        raise ReadError("dicom-no-voi", f"{item.name} has neither a VOI LUT nor a window in its header", why,
                        "write 'voi: none', with 'window', 'scale: bits' or 'normalise: percentile'")
    names = [shown(entry, "LUTExplanation") for entry in tables] or [name for _, _, name in windows]
    place = _place(choice, names, item)
    if tables:
        first, table, bits = lookup_table(tables[place], item, "VOI LUT", signed=plane.range[0] < 0,
                                          little=is_little(dataset))
        places = np.clip(np.floor(plane.values).astype(np.int64) - first, 0, len(table) - 1)
        return np.clip(table[places] / (2**bits - 1), 0, 1).astype(np.float32)
    centre, width, _ = windows[place]
    return _windowed(plane.values.astype(np.float64), centre, width, shown(dataset, "VOILUTFunction"), item)


def _windowed(values: NDArray[np.float64], centre: float, width: float, function: str, item: Slice
              ) -> NDArray[np.float32]:
    function = function.upper() or "LINEAR"
    if function not in ("LINEAR", "LINEAR_EXACT", "SIGMOID") or width < (1 if function == "LINEAR" else 0) or (
            function != "LINEAR" and width == 0):
        raise ReadError("dicom-bad-header", f"{item.name} has a window that cannot be used",
                        f"its function is {function}, its width {width:g}", "write 'voi: none' and a 'window'")
    if function == "SIGMOID":
        return (1 / (1 + np.exp(-4 * (values - centre) / width))).astype(np.float32)
    if function == "LINEAR":  # pixels have a width of 1, so that the window has one step less than values
        centre, width = centre - 0.5, width - 1
    if width == 0:
        return (values > centre).astype(np.float32)
    return np.clip((values - centre) / width + 0.5, 0, 1).astype(np.float32)


def _windows(dataset: Any, item: Slice) -> list[tuple[float, float, str]]:
    """Centre, width and explanation of each window."""
    parts = [shown(dataset, keyword).split("\\") for keyword in ("WindowCenter", "WindowWidth")]
    names = shown(dataset, "WindowCenterWidthExplanation").split("\\")
    if not any(parts[0]) or not any(parts[1]):
        return []
    try:
        numbers = [tuple(map(float, pair)) for pair in zip(*parts, strict=True)]
    except ValueError as error:
        raise ReadError("dicom-bad-header", f"{item.name} has a window that cannot be read", str(error),
                        "write 'voi: none' and a 'window'") from None
    names += [""] * (len(numbers) - len(names))
    return [(centre, width, name) for (centre, width), name in zip(numbers, names, strict=False)]


def _place(choice: str | int, names: list[str], item: Slice) -> int:
    if choice == "header":
        return 0
    if isinstance(choice, int) and choice < len(names):
        return choice
    alike = [place for place, name in enumerate(names) if name.strip().casefold() == str(choice).strip().casefold()]
    if alike:
        return alike[0]
    listed = ", ".join(f"{place} ({name})" if name else str(place) for place, name in enumerate(names))
    raise ReadError("dicom-unknown-voi", f"{item.name} has no VOI {choice!r}", f"it has {listed}",
                    "correct 'voi', or write 'voi: header' for the first")
