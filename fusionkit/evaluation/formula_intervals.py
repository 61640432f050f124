"""Intervals by formulas beside those of resamples, as rows of text: DeLong's of AUROC and Wilson's of proportions.

They hold where no patient has two cases; else AUROC has Obuchowski's. Where cases are few they contain the truth more
often than resamples do, and Wilson's has a width where nothing or everything was counted.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from fusionkit.evaluation.formatting import MetricResult, figures

DELONG, OBUCHOWSKI = "auroc_delong", "auroc_obuchowski"
FORMULA_COLUMNS = ("head", "of", "metric", "value", "95 % interval", "by", "note")


def formula_rows(head: str, found: Mapping[str, Any]) -> list[tuple[str, ...]]:
    """Rows for `FORMULA_COLUMNS` from the results of a head as `metrics.json` has them, empty where there are none."""
    return list(_rows(head, found))


def _rows(head: str, found: Mapping[str, Any]) -> Iterator[tuple[str, ...]]:
    made = [(of, "auroc", each["low"], each["high"], by, each.get("note"))
            for key, by in ((DELONG, "DeLong"), (OBUCHOWSKI, "Obuchowski")) for of, each in found.get(key, {}).items()]
    made += [(of, key, *bounds, "Wilson", None) for of, every in found.get("wilson", {}).items()
             for key, bounds in every.items()]
    for of, key, low, high, by, note in made:
        value = found["per_class"].get(of, found["metrics"]).get(key, {}).get("value")
        if value is not None:
            yield (head, of, found.get("labels", {}).get(key, key), figures(value),
                   MetricResult(value, low, high).interval, by, note or "")
