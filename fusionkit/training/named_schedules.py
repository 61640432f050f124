"""The learning rate by the schedule that a setting names."""

from __future__ import annotations

import math

from fusionkit.components.failures import raised
from fusionkit.components.schedule import Schedule
from fusionkit.errors import Diagnostic, UserError
from fusionkit.registry.named import Chosen

_STEPS = 100


def factor_of(chosen: Chosen[Schedule], step: int, steps: int) -> float:
    """The factor of the learning rate at a step after warm-up.

    Raises: UserError with `bad-option` if the schedule fails or gives no factor.
    """
    try:
        found = float(chosen.declared.module(step, steps, chosen.config))
        if math.isfinite(found) and found >= 0:
            return found
        why = f"at step {step} of {steps} it gives {found:g}"
    except Exception as error:  # a schedule may raise anything
        why = raised(error)
    raise UserError(Diagnostic("bad-option", f"{chosen.declared.id} cannot be used", chosen.span, why=why,
                               fix="change its options, or choose another schedule"))


def try_schedule(chosen: Chosen[Schedule]) -> None:
    """Ask it for some steps, since only the schedule knows which values of its options it takes.

    Raises: UserError with `bad-option`.
    """
    for step in (0, _STEPS // 2, _STEPS - 1):
        factor_of(chosen, step, _STEPS)
