"""The check of encoders that ask which cells of a table were blank: the answer matters, and that of none is no answer.

What a blank cell holds cannot matter: networks put 0 there before the encoder sees it.
"""

from __future__ import annotations

import torch

from fusionkit.components.component import Component, Encoder
from fusionkit.testing.checks.behaviour import difference, equal
from fusionkit.testing.faults import Fault
from fusionkit.testing.probing.probes import Probe, results

# Axes: B batch, c cells.
_BATCH = 5


def concerns(component: Component) -> bool:
    """Whether an encoder asks for the keyword `known`, if only with some options."""
    return isinstance(component, Encoder) and component.known is not False


def fits(probe: Probe) -> bool:
    """Whether it asks with the options of this probe, on a vector."""
    component = probe.component
    return isinstance(component, Encoder) and component.asks_known(probe.config) and len(probe.inputs[0].sizes) == 1


def known(probe: Probe) -> Fault | None:
    """Blank cells are told from cells that are 0, and with no cell blank the result is that without a mask."""
    module, dtype = probe.module().to(probe.widest), probe.widest
    x_Bc = probe.data(_BATCH, dtype=dtype)[0]
    known_Bc = torch.rand(x_Bc.shape, generator=torch.Generator().manual_seed(5)) < 0.5
    known_Bc[0], known_Bc[1] = False, True
    filled_Bc = x_Bc.where(known_Bc, 0.0)
    with torch.no_grad():
        told, untold = results(module(filled_Bc, known=known_Bc)), results(module(filled_Bc))
        full, plain = results(module(x_Bc, known=torch.ones_like(known_Bc))), results(module(x_Bc))
    if equal(told, untold):
        return Fault("which cells are blank changes no result", "use 'known', or do not declare known= for these "
                     "options")
    apart = difference(full, plain, dtype)
    return Fault(f"with every cell known the result differs by {apart} from that without a mask",
                 "do the same arithmetic in both cases") if apart else None
