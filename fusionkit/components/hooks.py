"""The hooks by which an installed package tells fusionkit what it brings. Light: imports no component."""

from __future__ import annotations

from pathlib import Path
from typing import Final

import pluggy

PROJECT: Final = "fusionkit"
CONTRACT: Final = "1.0"
"""The version of what a plugin author meets. The first number grows when a plugin that worked may work no more."""
CONTRACT_RANGE: Final = ">=1.0,<2"
"""The versions of the contract that a new package states; that it holds `CONTRACT` is known without reading it."""
hookspec = pluggy.HookspecMarker(PROJECT)
hookimpl = pluggy.HookimplMarker(PROJECT)


class PluginSpec:
    """What the module behind an entry point in the group `fusionkit` may implement."""

    @hookspec
    def fusionkit_catalogue(self) -> Path:  # type: ignore[empty-body]  # a specification has no body
        """The path of the package's catalogue file, written by `fusionkit plugins catalogue --write`."""

    @hookspec
    def fusionkit_graphs(self) -> Path:  # type: ignore[empty-body]  # a specification has no body
        """The folder of graph files that the package publishes; `NAME.yaml` is built as `NAME`."""

    @hookspec
    def fusionkit_contract(self) -> str:  # type: ignore[empty-body]  # a specification has no body
        """The versions of the contract that the package was written for, as in '>=1.0,<2'."""
