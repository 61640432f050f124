"""What a reader gives after the steps of geometry, as a cohort reads it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np

from fusionkit.data.geometry.steps import left_to_geometry, shaped
from fusionkit.data.readers.facts import Facts
from fusionkit.reading import FileOptions


def read_shaped(examine: Callable[..., tuple[np.ndarray, Facts]], path: Path, options: FileOptions) -> np.ndarray:
    return shaped(*examine(path, left_to_geometry(options)), options)[0]
