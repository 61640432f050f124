"""Preset for dermoscopy: any rotation and mirror image, as a lesion has no upper side, and small changes of colour."""

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
        "saturation": {"factor": factors(0.8, 1.2, by), "chance": 0.5},
        "hue": {"turn": 0.02 * by, "chance": 0.5},
    }


component = Transform("dermoscopy", PresetConfig, options, acts="preset", category="preset")
