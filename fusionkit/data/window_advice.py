"""A warning about windows of CT on files that are not."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from fusionkit.data.readers.advice import Advice, count, grouped, shown_range
from fusionkit.data.readers.facts import Facts
from fusionkit.data.windows import NamedWindow, several


def window_of_ct(options: Any, files: Sequence[Facts]) -> list[Advice]:
    """`window-of-ct`: a window by its name, which is in HU, on files that are not CT.

    A format without a modality tells by its values: air and fat of a CT are below 0.
    """
    others = {place: facts.modality or "no value below 0" for place, facts in enumerate(files)
              if facts.modality != "CT" and (facts.modality or facts.values[0] >= 0)}
    if not others or not any(isinstance(each, NamedWindow) for each in several(options.window)):
        return []
    cases = tuple(others)
    return [Advice("window-of-ct", f"{count(cases, files)} seem not to be CT, and 'window' names one of CT: "
                   f"{grouped(others)}", cases,
                   f"such a window is in HU; the values are {shown_range(files, cases)}",
                   "write 'window: [LOW, HIGH]' in the units of these files, or 'normalise'")]
