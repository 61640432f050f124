"""Preset for PET beside CT or MR: changes of activity, blur and noise; it moves as the input it is registered to."""

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
        "brightness": {"factor": factors(0.9, 1.1, by), "chance": 0.2},
        "blur": {"sigma": [0.5 * by, 1.5 * by], "chance": 0.2},
        "speckle": {"sd": 0.1 * by, "chance": 0.15},
    }


component = Transform("pet", PresetConfig, options, acts="preset", category="preset")
