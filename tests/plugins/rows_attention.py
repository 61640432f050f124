"""Rows of the contract table: attention between tokens, and fusions over several levels of maps."""

from __future__ import annotations

from typing import Any

VECTORS, TOKENS = [(5,), (7,), (3,)], [(7, 5), (3, 2), (2, 7)]
IMAGES, VOLUMES = [(3, 5, 7), (2, 3, 2)], [(3, 2, 5, 3), (2, 2, 3, 2)]
PYRAMID, DEEP = [(5, 11, 13), (7, 5, 7), (3, 3, 2)], [(5, 5, 11, 7), (7, 3, 5, 2)]
LEVELS = [(5, 11, 13), (7, 5, 7), (3, 7, 17), (2, 5, 5)]
MIXED = [(5, 11, 13), (7, 5, 7), (3, 5, 7, 17), (2, 3, 5, 5)]
SMALL = {"width": 6, "heads": 2, "expansion": 2}
CROSS, MBT, MULT, PERCEIVER = "fusion.cross_attention", "fusion.mbt", "fusion.mult", "fusion.perceiver"
SELF, LEVEL, CENTRAL = "fusion.token_self", "fusion.multi_level", "fusion.centralnet"

# What the kit makes itself, every option changed once on every layout, is not repeated here.
ROWS: list[tuple[Any, ...]] = [
    (SELF, SMALL | {"layers": 1, "output": "mean", "positions": "all"}, TOKENS),
    (SELF, SMALL | {"layers": 1, "output": "tokens"}, VOLUMES),
    (SELF, SMALL | {"layers": 1, "norm": "after", "class_token": False, "output": "mean"}, VECTORS),
    ("fusion.attention_pool", {"width": 7, "gated": False}, TOKENS),
    ("fusion.attention_pool", {"hidden": 3}, [(11, 5)]),
    (MBT, SMALL | {"bottlenecks": 3, "output": "tokens"}, TOKENS),
    (MBT, SMALL | {"bottlenecks": 3, "output": "bottlenecks", "share": True}, IMAGES),
    (PERCEIVER, SMALL | {"latents": 3, "bands": 2, "output": "latents", "tie": True, "positions": "all"}, TOKENS),
    ("fusion.coattention", {"hidden": 3}, [(7, 5), (3, 11)]),
    ("fusion.mcat", {"width": 6, "heads": 2, "inside": 7, "layers": 1}, [(11, 5), (7,), (3,)]),
    ("fusion.mcat", {"width": 6, "heads": 2, "inside": 7, "fallback": False, "availability": False},
     [(7, 5), (3, 2), (5,)]),
    ("fusion.survpath", {"width": 6}, [(11, 5), (7,), (3,)]),
    ("fusion.survpath", {"width": 6, "kernel": 3, "fallback": False, "availability": False}, [(7, 5), (3, 2)]),
    (MULT, SMALL | {"layers": 1, "pool": "class"}, TOKENS),
    (CROSS, {"width": 6, "heads": 2, "mode": "pairs"}, [(7, 5), (3, 6), (5, 2)]),
    (CROSS, {"width": 6, "heads": 2, "mode": "hub", "vector_to_tokens": 2}, VECTORS),
    ("encoder.cbam", {"reduction": 3, "kernel": 3}, [(6, 3, 5, 7)]),
    ("encoder.tokens", {"width": 6, "count": "features"}, [(5,)]),
    ("encoder.tokens", {"width": 6, "largest": 4}, [(5, 3, 11, 2)]),
    ("encoder.fpn", {"width": 6}, DEEP),
    ("encoder.bifpn", {"width": 6, "repeats": 2}, PYRAMID),
    ("encoder.bifpn", {"width": 6, "repeats": 1, "weighted": False, "norm": "group"}, DEEP),
    (LEVEL, {"width": 6, "join": "gmu"}, LEVELS),
    (LEVEL, {"width": 6, "output": "pyramid", "carry": "none", "join": "max"}, LEVELS),
    (LEVEL, {"width": 6, "output": "last", "reduce": "conv", "join": "mean", "norm": "group"}, MIXED),
    (LEVEL, {"width": 6, "reduce": "conv", "modalities": 3}, [*DEEP, *DEEP, *DEEP]),
    (CENTRAL, {}, LEVELS),
    (CENTRAL, {"width": 4, "norm": "none", "modalities": 3}, [*DEEP, *DEEP, *DEEP]),
    (CENTRAL, {"norm": "group"}, MIXED),
]
