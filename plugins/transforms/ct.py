"""Preset for CT: motions of a patient on the table, noise, blur and small changes of intensity; no mirror images.

The ranges are about half of those that nnU-Net segments with (Isensee et al. 2021, doi:10.1038/s41592-020-01008-z),
since position, side and size carry information on the label.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from fusionkit_plugins.blocks.augment_preset import PresetConfig
from fusionkit_plugins.blocks.ranges import factors

from fusionkit.api import Transform


def options(config: PresetConfig) -> Mapping[str, Mapping[str, Any]]:
    """The transforms and their options."""
    by = config.strength
    return {
        "rotate": {"degrees": [15 * by, 5 * by, 5 * by], "chance": 0.5},
        "zoom": {"factor": factors(0.85, 1.2, by), "chance": 0.5},
        "shift": {"mm": 10 * by, "chance": 0.5},
        "elastic": {"mm": 4 * by, "chance": 0.2},
        "brightness": {"factor": factors(0.9, 1.1, by), "chance": 0.15},
        "gamma": {"power": factors(0.7, 1.5, by), "chance": 0.15},
        "low_resolution": {"factor": factors(0.5, 1.0, by), "chance": 0.1},
        "blur": {"sigma": [0.5 * by, by], "chance": 0.1},
        "noise": {"sd": [0.0, 0.05 * by], "chance": 0.15},
    }


component = Transform("ct", PresetConfig, options, acts="preset", category="preset",
                      paper="doi:10.1038/s41592-020-01008-z")
