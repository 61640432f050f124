"""Plugins of fusionkit-poisson-rate. Every fusionkit command imports this file, so it imports no component."""

from pathlib import Path

from fusionkit.api import hookimpl


@hookimpl
def fusionkit_catalogue() -> Path:
    """The catalogue, written by `fusionkit plugins catalogue fusionkit-poisson-rate --write`."""
    return Path(__file__).parent / "registry.yaml"


@hookimpl
def fusionkit_contract() -> str:
    """The versions of fusionkit's contract for which this package is written."""
    return ">=2.0,<3"
