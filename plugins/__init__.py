"""The plugins bundled with fusionkit. Light: listing them imports no component and no torch."""

from __future__ import annotations

from pathlib import Path

from fusionkit.components.hooks import hookimpl

_HERE = Path(__file__).resolve().parent


@hookimpl
def fusionkit_catalogue() -> Path:
    """The catalogue: next to this file if installed from a wheel, one folder up in a checkout."""
    inside = _HERE / "registry.yaml"
    return inside if inside.is_file() else _HERE.parent / "registry.yaml"


@hookimpl
def fusionkit_graphs() -> Path:
    """The folder of the published graphs."""
    return _HERE / "graphs"


@hookimpl
def fusionkit_claims() -> Path:
    """The folder of the published results."""
    return _HERE / "claims"


@hookimpl
def fusionkit_contract() -> str:
    """The versions of the contract that these plugins are written for."""
    return ">=2.0,<3"
