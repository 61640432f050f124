"""The hooks by which an installed package declares what it provides. Light: imports no component."""

from __future__ import annotations

from pathlib import Path
from typing import Final

import pluggy

PROJECT: Final = "fusionkit"
CONTRACT: Final = "2.0"
"""The version of the plugin contract. The first number is increased when existing plugins may stop working."""
FORMER_CONTRACT: Final = "1.0"
"""The earlier version that plugins may be written for too: what is no longer offered is refused where it is used."""
CONTRACT_RANGE: Final = ">=2.0,<3"
"""The contract versions that a new package declares, which include `CONTRACT`; known without parsing."""
hookspec = pluggy.HookspecMarker(PROJECT)
hookimpl = pluggy.HookimplMarker(PROJECT)


class PluginSpec:
    """The hooks that the module of an entry point in the group `fusionkit` may implement."""

    @hookspec
    def fusionkit_catalogue(self) -> Path:  # type: ignore[empty-body]  # a specification has no body
        """The path of the package's catalogue file, written by `fusionkit plugins catalogue --write`."""

    @hookspec
    def fusionkit_graphs(self) -> Path:  # type: ignore[empty-body]  # a specification has no body
        """The folder of graph files that the package publishes; `NAME.yaml` is available as `NAME`."""

    @hookspec
    def fusionkit_claims(self) -> Path:  # type: ignore[empty-body]  # a specification has no body
        """The folder of the published results that the package can run again; `NAME.yaml` is available as `NAME`."""

    @hookspec
    def fusionkit_contract(self) -> str:  # type: ignore[empty-body]  # a specification has no body
        """The versions of the contract that the package was written for, as in '>=2.0,<3'."""
