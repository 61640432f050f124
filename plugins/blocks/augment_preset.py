"""The option that all presets of transforms have."""

from __future__ import annotations

from pydantic import Field

from fusionkit.api import Config


class PresetConfig(Config):
    """Options of a preset."""

    strength: float = Field(1.0, gt=0, le=2, description=(
        "Multiplies all ranges: degrees and mm, and the logarithms of factors."))


class NoOptions(Config):
    """A preset as it was published has no options."""
