"""Preset of MMCAF-Net: half of the volumes mirrored left for right, all turned in the axial plane by up to 15 degrees.

Source: Yu et al., Small Lesions-aware Bidirectional Multimodal Multiscale Fusion Network for Lung Disease
Classification (MMCAF-Net), by the authors' code, which draws whole degrees; the paper names a sharpening that it lacks.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from fusionkit_plugins.blocks.augment_preset import NoOptions

from fusionkit.api import Transform


def options(config: NoOptions) -> Mapping[str, Mapping[str, Any]]:
    """The transforms and their options."""
    return {"rotate": {"degrees": [15.0, 0.0, 0.0], "whole": True}, "flip": {"axis": "lr", "chance": 0.5}}


component = Transform("mmcaf", NoOptions, options, acts="preset", category="preset")
