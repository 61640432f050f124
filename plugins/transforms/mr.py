"""Preset for MR: motions, and the changes of contrast that other scanners and sequences make; no mirror images."""

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
        "rotate": {"degrees": [15 * by, 10 * by, 10 * by], "chance": 0.5},
        "zoom": {"factor": factors(0.85, 1.2, by), "chance": 0.5},
        "shift": {"mm": 10 * by, "chance": 0.5},
        "elastic": {"mm": 4 * by, "chance": 0.3},
        "bias_field": {"size": 0.3 * by, "chance": 0.2},
        "contrast": {"factor": factors(0.75, 1.25, by), "chance": 0.15},
        "gamma": {"power": factors(0.7, 1.5, by), "chance": 0.3},
        "low_resolution": {"factor": factors(0.5, 1.0, by), "chance": 0.25},
        "noise": {"sd": [0.0, 0.1 * by], "chance": 0.15},
    }


component = Transform("mr", PresetConfig, options, acts="preset", category="preset")
