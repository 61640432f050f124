"""`fusionkit.load`: the network of a folder."""

from __future__ import annotations

from collections.abc import Sequence
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING

from fusionkit.components.component import Component
from fusionkit.network import folder as network
from fusionkit.registry.lookup import Registry, discover

if TYPE_CHECKING:
    from fusionkit.network.model import FusionModel


def load(
    folder: str | PathLike[str],
    registry: Registry | None = None,
    *,
    plugins: Sequence[str | Path] = (),
    components: Sequence[Component] = (),
) -> FusionModel:
    """The network that `fusionkit build -o` or a training run wrote to a folder, in evaluation mode.

    Your own components come from the Python files `plugins`, or as `components`; `registry` replaces the installed
    components and both of these.
    Raises: GraphError if it is not such a folder, or a plugin that it needs is not installed.
    """
    registry = registry or discover(components=components, files=[str(file) for file in plugins])
    return network.load(Path(folder), registry)
