"""Preset for optical coherence tomography: small motions, speckle, and mirror images left for right alone."""

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
        **in_plane(5, 0.9, 1.1, by),
        "flip": {"axis": "lr", "chance": 0.5},
        "contrast": {"factor": factors(0.8, 1.2, by), "chance": 0.5},
        "speckle": {"sd": 0.1 * by, "chance": 0.5},
    }


component = Transform("oct", PresetConfig, options, acts="preset", category="preset")
