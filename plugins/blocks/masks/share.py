"""What a file of a mask says: what it covers of each voxel, and where these are."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fusionkit.reading import Grid


@dataclass(frozen=True)
class Share:
    """One mask. Shapes: `values` float32 (d, h, w), 0 to 1; `remarks` are codes for advice, each with a detail.

    `frame_of_reference` is empty where the file does not tell it.
    """

    values: NDArray[np.float32]
    grid: Grid | None
    frame_of_reference: str = ""
    remarks: tuple[tuple[str, str], ...] = ()
