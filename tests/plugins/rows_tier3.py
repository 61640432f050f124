"""Rows of the contract table: fusions by a core, a sketch, wavelets, and a draw for each feature."""

from __future__ import annotations

from typing import Any

PAIR, VECTORS = [(5,), (7,)], [(5,), (7,), (3,)]
VOLUMES = [(1, 2, 5, 7), (1, 2, 5, 7), (1, 2, 5, 7)]

ROWS: list[tuple[Any, ...]] = [
    ("fusion.embrace", {"width": 13}, VECTORS),
    ("fusion.embrace", {"width": 13, "activation": "relu", "probabilities": [1.0, 2.0, 3.0]}, VECTORS),
    ("fusion.tucker", {"width": 13, "hidden": 11}, PAIR),
    ("fusion.tucker", {"width": 13, "hidden": 3, "shared": True}, [(5,), (5,)]),
    ("fusion.block", {"width": 13, "hidden": 9, "chunks": 3, "rank": 2}, PAIR),
    ("fusion.block", {"width": 13, "hidden": 5, "chunks": 1}, PAIR),
    ("fusion.mcb", {"width": 13, "sketch": 31}, PAIR),
    ("fusion.mcb", {"width": 13, "sketch": 16}, PAIR),
    ("fusion.wavelet", {"levels": 1}, VOLUMES),
    ("fusion.wavelet", {"levels": 3, "high": "local_energy"}, VOLUMES),
    ("fusion.wavelet", {"low": [1.0, 3.0], "high": "mean"}, [(3, 5, 7)] * 2),
    ("fusion.wavelet", {"high": "local_energy"}, [(3, 5, 7)] * 2),
]
