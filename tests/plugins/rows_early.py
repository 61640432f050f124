"""Rows of the contract table: fusions of inputs, and those of one level that multiply or count."""

from __future__ import annotations

from typing import Any

IMAGES, VOLUMES = [(3, 5, 7), (2, 5, 7)], [(1, 2, 5, 7), (1, 2, 5, 7), (1, 2, 5, 7)]
VECTORS, TOKENS = [(5,), (7,), (3,)], [(11, 5), (11, 7)]
PAIR = [(5,), (7,)]

ROWS: list[tuple[Any, ...]] = [
    ("fusion.channel_concat", {}, VOLUMES),
    ("fusion.channel_concat", {"fill": [-1.0, 0.5], "availability": True, "rescale": True}, IMAGES),
    ("fusion.pixel_mean", {}, VOLUMES),
    ("fusion.pixel_mean", {"weights": "learned"}, [(3, 5, 7)] * 2),
    ("fusion.pixel_mean", {"weights": [1.0, 3.0]}, [(3, 5, 7)] * 2),
    ("fusion.pixel_max", {}, VOLUMES),
    ("fusion.moments", {}, [(5,), (5,), (5,)]),
    ("fusion.moments", {"spread": "deviation", "maximum": True, "width": 13}, TOKENS),
    ("fusion.moments", {"maximum": True}, VOLUMES),
    ("fusion.lmf", {"width": 13}, VECTORS),
    ("fusion.lmf", {"width": 13, "rank": 3, "rank_weights": "ones"}, TOKENS),
    ("fusion.lmf", {"width": 13, "rank": 1}, IMAGES),
    ("fusion.tfn", {"width": 13}, VECTORS),
    ("fusion.bilinear", {"width": 13}, PAIR),
    ("fusion.mutan", {"width": 13, "hidden": 11, "rank": 3}, PAIR),
    ("fusion.mutan", {"width": 13, "hidden": 11, "tanh": False}, PAIR),
    ("fusion.mfb", {"width": 13, "hidden": 11, "factors": 3, "dropout": 0.5}, PAIR),
]
