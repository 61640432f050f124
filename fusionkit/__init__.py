"""Multimodal fusion networks as short YAML graphs, made of plugins.

    model = fusionkit.build("graph.yaml")   # an nn.Module
    plan = fusionkit.plan("graph.yaml")     # every shape and cost, before a number is computed
    model = fusionkit.load("folder")        # what `fusionkit build -o folder` or a training run left
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from fusionkit.errors import DataError, GraphError, RunError, UserError
    from fusionkit.network.build import build, plan
    from fusionkit.network.folder import load
    from fusionkit.network.optimise import optimize

__all__ = ["DataError", "GraphError", "RunError", "UserError", "build", "load", "optimize", "plan"]
__version__ = "0.1.0"

_HOMES = {"build": "network.build", "plan": "network.build", "load": "network.folder", "optimize": "network.optimise"}


def __getattr__(name: str) -> Any:
    from importlib import import_module

    if name in __all__:
        return getattr(import_module(f"fusionkit.{_HOMES.get(name, 'errors')}"), name)
    raise AttributeError(f"fusionkit has no {name!r}")
