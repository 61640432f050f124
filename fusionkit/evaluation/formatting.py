"""One metric with its interval, as printed and as JSON."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from fusionkit.evaluation.bootstrap import Interval
from fusionkit.evaluation.metrics import MetricValue
from fusionkit.printable import figures as figures


@dataclass(frozen=True, slots=True)
class MetricResult:
    """One metric: value, bounds of its 95 % interval (None if undefined) and a note for the reader.

    `resamples` is set where the interval is of fewer resamples than were asked for.
    """

    value: float | None
    low: float | None = None
    high: float | None = None
    note: str | None = None
    resamples: int | None = None

    def to_json(self) -> dict[str, Any]:
        """Numbers to six digits, which is what single precision holds."""
        return {
            "value": short(self.value),
            "low": short(self.low),
            "high": short(self.high),
            "note": self.note,
            **({} if self.resamples is None else {"resamples": self.resamples}),
        }

    def __str__(self) -> str:
        if self.value is None:
            return "undefined"
        return figures(self.value) + (f" ({self.interval})" if self.interval else "")

    @property
    def interval(self) -> str:
        """The bounds as text, or an empty string."""
        return "" if self.low is None or self.high is None else f"{figures(self.low)} to {figures(self.high)}"


def joined(value: MetricValue, interval: Interval) -> MetricResult:
    """A value combined with its interval; NaN becomes None."""
    notes = "; ".join(note for note in (value.note, interval.note) if note)
    point, low, high = (None if np.isnan(number) else number for number in (value.value, interval.low, interval.high))
    return MetricResult(point, low, high, notes or None, interval.resamples)


def short(number: float | None) -> float | None:
    """Six digits, which is what single precision holds."""
    return None if number is None else float(f"{number:.6g}")
