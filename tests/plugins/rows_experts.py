"""Rows of the contract table: mixtures of experts."""

from __future__ import annotations

from typing import Any

FLEX, FUSE = "fusion.flexmoe", "fusion.fusemoe"
SMALL = {"width": 6, "patches": 3, "heads": 2, "experts": 7, "selected": 2}
FEW = {"width": 5, "experts": 6, "selected": 2, "hidden": 7}
TRAINED = {"gradients: *spread": "noise is drawn in training alone"}
INNER = {"use": "fusion.gmu", "with": {"width": 5}}

ROWS: list[tuple[Any, ...]] = [
    (FLEX, SMALL, [(5,), (7,), (3,)], TRAINED),
    (FLEX, SMALL | {"layers": 2, "missing": "drop", "gate": "laplace", "residual": "release"}, [(3, 5), (3, 6)],
     TRAINED),
    (FLEX, SMALL | {"missing": "modality", "gate": "gaussian"}, [(3, 5), (3, 7)], TRAINED),
    (FUSE, FEW, [(11,), (11,), (11,)], TRAINED),
    (FUSE, FEW | {"routing": "disjoint", "gate": "gaussian"}, [(11,), (11,)], TRAINED),
    (FUSE, FEW | {"routing": "joint", "gate": "softmax", "noisy": False}, [(11,), (11,)]),
    ("fusion.i2moe", {"width": 3, "hidden": 7, "fusion": INNER}, [(5,), (11,), (2,)]),
    ("fusion.i2moe", {"width": 3, "layers": 1, "activation": "tanh", "start": "copies", "temperature": 2.0},
     [(5,), (7,)]),
]
