"""Preset for stained sections: any rotation and mirror image, and changes of the stains.

Source: Tellez et al. 2018, doi:10.1109/TMI.2018.2820199, for the stains, which take the place of hue and saturation.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from fusionkit_plugins.blocks.augment_preset import PresetConfig
from fusionkit_plugins.blocks.picture_motion import in_plane
from fusionkit_plugins.blocks.ranges import factors

from fusionkit.api import Transform


def options(config: PresetConfig) -> Mapping[str, Mapping[str, Any]]:
    """The transforms and their options."""
    by = config.strength
    return {
        **in_plane(180, 0.8, 1.25, by),
        "flip": {"axis": "lr", "chance": 0.5},
        "flip_ud": {"chance": 0.5},
        "contrast": {"factor": factors(0.8, 1.2, by), "chance": 0.5},
        "brightness": {"factor": factors(0.8, 1.2, by), "chance": 0.5},
        "stain": {"factor": factors(0.95, 1.05, by), "shift": 0.01 * by, "chance": 0.5},
    }


component = Transform("histology", PresetConfig, options, acts="preset", category="preset",
                      paper="doi:10.1109/TMI.2018.2820199")
