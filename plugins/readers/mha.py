"""One MetaImage volume (.mha, or .mhd with its data beside it) in closest canonical orientation."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from fusionkit_plugins.blocks.itk_volume import MHA, advise, examine_itk, shape, write_sample
from fusionkit_plugins.blocks.volume_files import VolumeFileOptions
from numpy.typing import NDArray

from fusionkit.api import Reader
from fusionkit.reading import Facts


def examine(path: Path, options: VolumeFileOptions) -> tuple[NDArray[np.float32], Facts]:
    """The volume as `examine_itk` gives it. Raises: `ReadError` as that does."""
    return examine_itk(path, options, MHA)


def sample(folder: Path) -> Path:
    """A small volume."""
    return write_sample(folder / "volume.mha")


component = Reader("mha", VolumeFileOptions, examine, category="volume", needs=("SimpleITK",), shape=shape,
                   advise=advise, sample=sample)
