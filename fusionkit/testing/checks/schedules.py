"""The check of schedules: a function of the step alone."""

from __future__ import annotations

import math

from fusionkit.components.config import Config
from fusionkit.components.schedule import Schedule
from fusionkit.testing.faults import Fault

_LENGTHS = (1, 2, 7, 100)


def schedule(component: Schedule, config: Config) -> Fault | None:
    """What is wrong with a schedule under some options."""
    for steps in _LENGTHS:
        factors = [component.module(step, steps, config) for step in range(steps)]
        for step, factor in enumerate(factors):
            if not isinstance(factor, int | float) or not math.isfinite(factor) or factor < 0:
                return Fault(f"at step {step} of {steps} it gives {factor!r}", "give a number of at least 0")
        backwards = [component.module(step, steps, config) for step in reversed(range(steps))]
        if factors != backwards[::-1]:
            return Fault(f"of {steps} steps it gives other factors when they are asked for in another order",
                         "depend on the arguments alone")
    return None
