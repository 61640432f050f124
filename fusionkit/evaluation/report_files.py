"""The files of an evaluation: `metrics.json`, and the figures of every head."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from fusionkit.evaluation.plots.figures import draw_figures
from fusionkit.evaluation.report import HeadReport


def write_report(
    reports: Sequence[HeadReport],
    folder: Path,
    *,
    about: Mapping[str, Any] | None = None,
    plots: bool = True,
) -> list[Path]:
    """Write `metrics.json` and the figures of each head as PNG, SVG and CSV; returns the paths.

    `about` is added to `metrics.json` next to the heads. Every file is written atomically.
    """
    folder.mkdir(parents=True, exist_ok=True)
    content = {
        "fusionkit-metrics": 1,
        **(about or {}),
        "heads": {report.head: report.to_json() for report in reports},
    }
    target, aside = folder / "metrics.json", folder / ".metrics.json.part"
    aside.write_text(json.dumps(content, indent=2, allow_nan=False, ensure_ascii=False) + "\n", encoding="utf-8")
    written = [aside.replace(target)]
    for report in reports if plots else ():
        written.extend(draw_figures(report, folder))
    return written
