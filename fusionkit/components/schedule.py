"""The interface for authors of schedules: the learning rate as a function of the step."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from fusionkit.components.declaration import Declaration


@dataclass(frozen=True, repr=False)
class Schedule(Declaration):
    """The learning rate of a step as a factor of the setting `learning_rate`; `module(step, steps, config)` gives it.

    `step` counts from 0 after warm-up, `steps` is the number of these steps. The factor is finite, not negative, and
    depends on the arguments alone, so that a run that is resumed equals one that is not. No schedule needs torch.
    """

    kind: ClassVar[str] = "schedule"
