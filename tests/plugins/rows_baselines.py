"""Rows of the contract table: the fusions that MMCAF-Net is compared with."""

from __future__ import annotations

from typing import Any

IMAGE, VOLUME = [(3, 5, 7), (2,)], [(3, 2, 5, 7), (2,)]
BLOCK = {"residual": False, "bottleneck": 11}
VECTORS = [(5,), (7,), (3,)]
FOCAL = {"classes": ["a", "b", "c"], "gamma": 2.0, "class_weights": [1.0, 2.0, 3.0], "label_smoothing": 0.1}
NO_TOWERS = {"width": 13, "hidden": 0, "activation": "relu", "start": "normal"}

ROWS: list[tuple[Any, ...]] = [
    *(("fusion." + name, options, inputs) for name in ("daft", "film") for options, inputs in (
        ({}, VOLUME), ({}, [(5,), (7,)]), ({"activation": "tanh"}, [(11, 5), (7,)]),
        (BLOCK | {"location": 3, "width": 5, "stride": 2, "activation": "sigmoid"}, IMAGE))),
    *(("fusion.daft", BLOCK | {"location": location}, IMAGE) for location in (0, 1, 2, 4)),
    ("fusion.daft", {"location": 2, "stride": 2, "scale": False}, VOLUME),
    ("fusion.daft", {"location": 4, "width": 5, "shift": False}, VOLUME),
    ("fusion.daft_net", BLOCK | {"width": 3}, [(1, 17, 19), (5,)]),
    ("fusion.daft_net", BLOCK | {"width": 2, "location": 0}, [(2, 5, 11, 7), (3,)]),
    ("fusion.mmtm", {}, [(11, 2, 5, 7), (13,)]),
    ("fusion.mmtm", {"gate_scale": 2}, [(3, 5, 7), (2, 11, 3), (5, 3, 2)]),
    ("fusion.mmtm", {"ratio": 3}, [(5,), (11, 7), (3, 2)]),
    ("fusion.mmtm", {}, [(11, 7), (3, 5, 7)]),
    ("fusion.medfuse", {"width": 13}, VECTORS),
    ("fusion.medfuse", {"width": 13, "step_width": 11}, [(5,), (7,)]),
    ("fusion.clip_align", {"width": 13}, VECTORS),
    ("fusion.clip_align", {"width": None, "merge": "sum", "largest_scale": 5.0}, [(5,), (5,), (5,)]),
    ("fusion.drfuse", {"width": 13, "classes": 3}, VECTORS),
    ("fusion.drfuse", {"inputs": "pairs", "bernoulli": True}, [(5,), (5,), (5,), (5,)]),
    ("fusion.shaspec", {}, [(5,), (5,), (5,), (5,)]),
    ("fusion.shaspec", {"generate": "first", "output": "mean", "pairs": "ring"}, [(5,)] * 6),
    ("fusion.pefusion", {"width": 13}, VECTORS),
    ("fusion.pefusion", NO_TOWERS, [(5,), (7,)]),
    ("fusion.pefusion", {"width": 13, "hidden": 2, "dropout": 0.5, "start": "xavier"}, [(5,), (7,)]),
    ("head.classify", FOCAL, [(7,)]),
]
