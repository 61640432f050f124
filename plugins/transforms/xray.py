"""Preset for radiographs: small motions in the plane, brightness, contrast and noise; no mirror images."""

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
        **in_plane(10, 0.9, 1.1, by),
        "contrast": {"factor": factors(0.8, 1.2, by), "chance": 0.5},
        "brightness": {"factor": factors(0.8, 1.2, by), "chance": 0.5},
        "gamma": {"power": factors(0.8, 1.25, by), "chance": 0.3},
        "noise": {"sd": [0.0, 0.02 * by], "chance": 0.15},
    }


component = Transform("xray", PresetConfig, options, acts="preset", category="preset")
