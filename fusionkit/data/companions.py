"""What the array of one file depends on beside the file and the options of its input."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fusionkit.data.disk_cache import stamps
from fusionkit.data.geometry.grid import Grid
from fusionkit.data.geometry.region import PatientBox
from fusionkit.data.readers.facts import Facts


@dataclass(frozen=True, slots=True)
class Companions:
    """What else is read, or taken from the table, for one file.

    `target` is the grid of the input that it is to be like, `image` the metadata of the file of that input. `mask` is
    the mask, or the folder of boxes, of `roi`, and `box` the box that the table gives. `foreground` is the mask whose
    voxels `normalise` measures.
    """

    target: Grid | None = None
    image: Facts | None = None
    mask: Path | None = None
    box: PatientBox | None = None
    foreground: Path | None = None

    def settings(self) -> dict[str, Any]:
        """What of it belongs to the key of a cached array.

        Raises: OSError where the mask cannot be looked up.
        """
        found: dict[str, Any] = {}
        if self.target is not None:
            found["target"] = self.target.as_json()
        if self.image is not None:
            drawn_on = None if self.image.grid is None else self.image.grid.as_json()
            found["image"] = [drawn_on, self.image.frame_of_reference, list(self.image.slices)]
        if self.mask is not None:
            found["mask"] = stamps(self.mask)
        if self.box is not None:
            found["box"] = [list(self.box.centre), self.box.extent]
        if self.foreground is not None:
            found["foreground"] = stamps(self.foreground)
        return found


ALONE = Companions()
