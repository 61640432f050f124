"""Rows of the contract table: heads, and uncertainty methods for their options."""

from __future__ import annotations

from typing import Any

NO_LAYER = {"rule": "with no layer the width is the number of names, which a rule cannot say"}

ROWS: list[tuple[Any, ...]] = [
    ("head.classify", {"classes": ["a", "b", "c"]}, [(7,)]),
    ("head.classify", {"classes": ["a", "b"], "hidden": [11], "dropout": 0.3, "class_weights": "balanced"}, [(7,)]),
    ("head.classify", {"classes": ["a", "b", "c"], "layer": "none", "class_weights": [1.0, 2.0, 3.0]}, [(3,)],
     NO_LAYER),
    ("head.multilabel", {"labels": ["a", "b", "c"], "positive_weights": [1.0, 2.0, 3.0]}, [(7,)]),
    ("head.multilabel", {"labels": ["a"], "hidden": [11, 5], "dropout": 0.3}, [(7,)]),
    ("head.regress", {"values": ["a", "b"], "loss": "huber", "delta": 0.5}, [(7,)]),
    ("head.regress", {"values": ["a"], "layer": "none", "loss": "mae"}, [(1,)], NO_LAYER),
    ("uncertainty.none", {}, []),
    ("uncertainty.mc_dropout", {"samples": 3}, []),
]
