"""The small motions in the plane that presets for pictures share."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from fusionkit_plugins.blocks.ranges import factors


def in_plane(degrees: float, low: float, high: float, strength: float) -> Mapping[str, Mapping[str, Any]]:
    """Rotation up to `degrees`, zoom from `low` to `high` and a shift by 5 % of the sides, for half of the cases."""
    return {
        "rotate": {"degrees": [min(180.0, degrees * strength), 0.0, 0.0], "chance": 0.5},
        "zoom": {"factor": factors(low, high, strength), "chance": 0.5},
        "shift": {"share": 0.05 * strength, "chance": 0.5},
    }
