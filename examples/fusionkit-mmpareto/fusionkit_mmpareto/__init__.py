"""Plugins of fusionkit-mmpareto.

Every fusionkit command imports this file, so it is light and imports no component.
"""

from __future__ import annotations

from pathlib import Path

from fusionkit.api import hookimpl

_HERE = Path(__file__).resolve().parent


@hookimpl
def fusionkit_catalogue() -> Path:
    """The catalogue, written by `fusionkit plugins catalogue fusionkit-mmpareto --write`."""
    return _HERE / "registry.yaml"


@hookimpl
def fusionkit_contract() -> str:
    """The versions of fusionkit's contract for which this package is written."""
    return ">=2.0,<3"
