"""Presets of DRIFA-Net: one small change each for pictures of MRI, of CT and of skin.

Source: Dhar et al. 2025, Multimodal Fusion Learning with Dual Attention for Medical Imaging, WACV, arXiv 2412.01248,
by the authors' code, which fills with 0 what comes in from beyond the edge; here it is the smallest value of the case.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

from pydantic import Field

from fusionkit.api import Config, Transform


class DrifaConfig(Config):
    """Options of `transform.drifa`."""

    pictures: Literal["mri", "ct", "skin"] = Field(description=(
        "mri: brightness; ct: rotation by up to 5 degrees and shift by up to 5 pixels; skin: rotation by up to 20 "
        "degrees."))


def options(config: DrifaConfig) -> Mapping[str, Mapping[str, Any]]:
    """The transforms and their options; pixels of pictures count as 1 mm."""
    return _OF[config.pictures]


_OF: Mapping[str, Mapping[str, Mapping[str, Any]]] = {
    "mri": {"brightness": {"factor": [0.8, 1.2]}},
    "ct": {"rotate": {"degrees": [5.0, 0.0, 0.0]}, "shift": {"mm": 5.0}},
    "skin": {"rotate": {"degrees": [20.0, 0.0, 0.0]}},
}
component = Transform("drifa", DrifaConfig, options, acts="preset", category="preset")
