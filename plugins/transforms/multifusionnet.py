"""Preset of MultiFusionNet: zoom by up to a tenth, and half of the pictures mirrored left for right.

Source: Agarwal, Arya, Meena 2024, MultiFusionNet, arXiv 2401.00728, by the authors' code, whose shear of 0.1 degrees
changes nothing that could be seen.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from fusionkit_plugins.blocks.augment_preset import NoOptions

from fusionkit.api import Transform


def options(config: NoOptions) -> Mapping[str, Mapping[str, Any]]:
    """The transforms and their options."""
    return {"zoom": {"factor": [0.9, 1.1]}, "flip": {"axis": "lr", "chance": 0.5}}


component = Transform("multifusionnet", NoOptions, options, acts="preset", category="preset")
