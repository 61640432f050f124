"""Rows of the contract table: fusions that draw one input for each feature."""

from __future__ import annotations

from typing import Any

VECTORS = [(5,), (7,), (3,)]

ROWS: list[tuple[Any, ...]] = [
    ("fusion.embrace", {"width": 13}, VECTORS),
    ("fusion.embrace", {"width": 13, "activation": "relu", "probabilities": [1.0, 2.0, 3.0]}, VECTORS),
]
