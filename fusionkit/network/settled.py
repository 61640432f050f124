"""Which heads of a network have to be settled after training, before they predict."""

from __future__ import annotations

from fusionkit.network.model import FusionModel


def settling(network: FusionModel) -> tuple[str, ...]:
    """The heads whose module has a method `settle`, and that are not frozen: those bring what they fitted."""
    return tuple(head.name for head in network.plan.heads if callable(getattr(network.head(head.name), "settle", None))
                 and not network.plan.node(head.name).node.freeze)
