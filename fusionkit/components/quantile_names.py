"""How quantiles are called in tables: q05 of the level 0.05, q975 of 0.975."""
from __future__ import annotations

import re


def quantile_name(level: float) -> str:
    """The digits after the point, two at least."""
    return "q" + f"{level:.10f}".partition(".")[2].rstrip("0").ljust(2, "0")


def level_of(name: str) -> float | None:
    """The level that a name stands for, None for another name."""
    found = re.fullmatch(r"q(\d+)", name)
    return None if found is None else float(f"0.{found[1]}")
