"""The hooks by which an installed package tells fusionkit what it brings. Light: imports no component."""

from __future__ import annotations

from pathlib import Path
from typing import Final

import pluggy

PROJECT: Final = "fusionkit"
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
